"""Every benchmark that makes a figure of the documentation: `make bench` runs those that finish within minutes.

The list is the table at the head of README.md beside this file. In it CACHE stands for a folder of trained models, DIR for one
of the command's own, ROOT and SUITE for what a person gets first (`--set`); what stands in brackets is run where it can be.

    make bench                                      some, on less than they have otherwise
    make bench BENCH='--all --out DIR'              all of the list, as it stands there: more than a day
    make bench BENCH='--only canary --only herd'
    make bench BENCH='--list'
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LIST = Path(__file__).parent / "README.md"
ROOT = LIST.parent.parent
QUICK = (
    "python benchmarks/kernels.py",
    "python benchmarks/calibration_streaming.py memory",
    "python benchmarks/gate_false_accepts.py --replays 1000 --only closed",
    "python -m benchmarks.litert_exact",
    "python -m benchmarks.speed.growth",
    "python -m benchmarks.compile_time --millions 1 4",
    "python -m benchmarks.main_job --out DIR",
)
_PLACE = re.compile(r"\b[A-Z]{3,}\b")


@dataclass(frozen=True)
class Outcome:
    """`code` is the exit code, or None where the command was left out; `why` says why."""

    command: str
    code: int | None
    seconds: float
    why: str = ""


def listed(text: str) -> list[str]:
    """The commands in the first column of the table, in its order; those of make are targets of their own."""
    head = text.partition("\n## ")[0]
    cells = [line.split("|")[1] for line in head.splitlines() if line.startswith("| `")]
    return [command for cell in cells for command in re.findall(r"`(python [^`]+)`", cell)]


def name_of(command: str) -> str:
    """What `--only` knows a command by: `canary` of `python -m benchmarks.canary`."""
    words = command.split()
    return words[2].removeprefix("benchmarks.") if words[1] == "-m" else Path(words[1]).stem


def filled(command: str, given: Mapping[str, str]) -> tuple[list[str], str]:
    """The words to run, and the name of what is missing ("" where nothing is)."""
    kept = re.sub(r"\[([^\]]*)\]", lambda part: "" if _lacks(part[1], given) else part[1], command)
    words = shlex.split(_PLACE.sub(lambda word: shlex.quote(given.get(word[0], word[0])), kept))
    return [sys.executable, *words[1:]], _lacks(kept, given)


def _lacks(text: str, given: Mapping[str, str]) -> str:
    return next((word for word in _PLACE.findall(text) if word not in given), "")


def run(command: str, out: Path, given: Mapping[str, str]) -> Outcome:
    """One command with its output shown and kept in `out`."""
    folder = out / name_of(command)
    words, missing = filled(command, {"DIR": str(folder), "CACHE": str(out / "cache"), **given})
    if missing:
        return Outcome(command, None, 0.0, f"needs --set {missing}=PATH")
    for needed in (folder, out / "cache"):
        needed.mkdir(parents=True, exist_ok=True)
    print(f"\n$ {shlex.join(['python', *words[1:]])}", flush=True)
    start = time.monotonic()
    with (out / f"{name_of(command)}.log").open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                log.write(line)
                print(line, end="", flush=True)
            code = process.wait()
        except BaseException:  # Ctrl-C, or a terminal that is gone
            process.terminate()
            process.wait()
            raise
    return Outcome(command, code, time.monotonic() - start)


def report(found: Sequence[Outcome]) -> int:
    """Print what came of each; 1 where one failed."""
    print()
    for item in found:
        said = item.why or ("done" if item.code == 0 else f"FAILED with {item.code}")
        print(f"{said:24}  {item.seconds:7.0f} s  {item.command}")
    return int(any(item.code for item in found))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; the exit code is 1 where one of them failed, 2 where one is asked for that is not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="all of the list, in place of the quick ones")
    parser.add_argument("--only", action="append", metavar="NAME", help="of the list, by name; may be given again")
    parser.add_argument("--list", action="store_true", help="name them and run nothing")
    parser.add_argument("--out", type=Path, help="what they write, and a log of each; a temporary folder otherwise")
    parser.add_argument("--set", action="append", default=[], metavar="WORD=PATH", help="what a word of the list stands for")
    options = parser.parse_args(arguments)
    commands = listed(LIST.read_text("utf-8")) if options.all or options.only or options.list else list(QUICK)
    unknown = sorted(set(options.only or ()) - {name_of(command) for command in commands})
    if unknown:
        parser.error(f"{', '.join(unknown)}: not in {LIST.relative_to(ROOT)}; --list names all")
    if any("=" not in item for item in options.set):
        parser.error("--set wants WORD=PATH, such as ROOT=/srv/arm64")
    if options.list:
        print("\n".join(f"{name_of(command):24} {command}" for command in commands))
        return 0
    given = dict(item.split("=", 1) for item in options.set)
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for command in commands:
                if not options.only or name_of(command) in options.only:
                    found.append(run(command, options.out or Path(folder), given))
        except KeyboardInterrupt:
            print("\nstopped; what was done until now:")
            return report(found) or 130
    return report(found)


if __name__ == "__main__":
    sys.exit(main())
