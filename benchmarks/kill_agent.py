"""kill -9 of a real agent at random moments: it never starts what was not verified, never is without a model, and goes on.

python -m benchmarks.kill_agent --kills 1000 --seed 0

Each round starts an agent in a process of its own on the same data folder (tests/fleet/agent/process.py: the real loop,
journal, slots, disk, signatures and resumed downloads; server and workers stand in), has a new version published, now and then
one that is not healthy, and kills it at a random moment. After each kill the folder is looked at as a starting agent would:
`current` must lead to a whole, signed artifact that the journal names. At the end an undisturbed run must come to the newest
healthy version. Shows in which states of an update the kills fell; ends with 1 when anything was wrong.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TextIO

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "fleet"))
from agent.process import main as run_agent
from agent.world import MODEL, Repository, artifact, sign
from edgewright.core.canonical import digest
from edgewright.core.clock import SystemClock
from edgewright.fleet.agent.journal import Journal
from edgewright.fleet.agent.slots import artifact_path, current
from edgewright.fleet.disk import RealDisk
from trust.simulated_repository import SimulatedRepository

MAX_TARGETS = 40  # so that metadata do not grow from round to round
LONGEST_S = 0.5  # until a kill, also where the machine is busy
WORDS = ("good", "good", "good", "failing", "wrong", "mute")


def start(folder: Path, versions: list[str], signing: SimulatedRepository) -> tuple[int, TextIO]:
    """An agent for which these versions are published, in a child of this process: its id, and what it says."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writing, 1)
        os.closerange(3, 64)
        code = 1
        with contextlib.suppress(BaseException):
            run_agent(folder, versions, signing)
            code = 0
        os._exit(code)
    os.close(writing)
    return child, os.fdopen(reading)


def signed(versions: list[str]) -> set[str]:
    """Digests of what is published."""
    return {digest(artifact(int(version), word)) for word, version in (text.split(":") for text in versions)}


def what_is_wrong(folder: Path, versions: list[str], had_one: bool) -> str | None:
    """What a starting agent would find amiss, or None."""
    disk = RealDisk(folder)
    slot = current(disk, MODEL)
    if slot is None:
        return "no slot is current" if had_one else None
    path = artifact_path(MODEL, slot)
    sha256 = digest(disk.read(path)) if disk.size(path) is not None else None
    known = Journal(disk, MODEL).record.slots.get(slot)
    if sha256 not in signed(versions):
        return "the current slot is not a signed artifact"
    return None if known is not None and known.sha256 == sha256 else "the journal does not name the current slot's artifact"


def publish(signing: SimulatedRepository, version: str) -> None:
    """Sign one more version."""
    word, number = version.split(":")
    one = Repository()
    one.publish(artifact(int(number), word))
    names = list(signing.targets["targets"].targets)
    for name in names[: max(0, len(names) - MAX_TARGETS)]:
        del signing.targets["targets"].targets[name]
    sign(one, signing)


def until(said: TextIO, line: str) -> bool:
    """Read until the agent says it; False when it ends before."""
    return any(one.strip() == line for one in said)


def settle(folder: Path, versions: list[str], newest: int, signing: SimulatedRepository) -> tuple[float, bool]:
    """Let an agent come to a version undisturbed, then end it: seconds, and whether it serves and starts that version."""
    child, said = start(folder, versions, signing)
    until(said, "begins")
    begun = time.perf_counter()
    came = until(said, f"serves {digest(artifact(newest))}") and until(said, f"{MODEL}: Cleanup -> Idle")
    seconds = time.perf_counter() - begun
    os.kill(child, signal.SIGTERM)
    came &= until(said, "ended")
    os.waitpid(child, 0)
    disk = RealDisk(folder)
    slot = current(disk, MODEL)
    return seconds, came and slot is not None and digest(disk.read(artifact_path(MODEL, slot))) == digest(artifact(newest))


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, help="where the data folder is made; in RAM a round is shorter (/dev/shm)")
    options = parser.parse_args()
    source, fell = random.Random(options.seed), collections.Counter[str]()
    wrong: list[str] = []
    signing = SimulatedRepository(SystemClock())
    with tempfile.TemporaryDirectory(dir=options.data) as name:
        folder = Path(name)
        versions, begun = ["good:1"], time.perf_counter()
        publish(signing, versions[-1])
        whole, came = settle(folder, versions, 1, signing)
        print(f"undisturbed: {whole:.2f} s for the first update", flush=True)
        had_one = came
        for count in range(options.kills):
            versions = [*versions, f"{source.choice(WORDS)}:{count + 2}"]
            publish(signing, versions[-1])
            child, said = start(folder, versions, signing)
            until(said, "begins")
            time.sleep(source.uniform(0.0, min(1.3 * whole, LONGEST_S)))
            os.kill(child, signal.SIGKILL)
            last = said.read().splitlines()[-1:]
            said.close()
            if os.waitpid(child, 0)[1] != signal.SIGKILL:
                wrong.append(f"kill {count}: the agent ended by itself after {last}")
            update = Journal(RealDisk(folder), MODEL).record.update
            fell["no update" if update is None else update.progress.state] += 1
            found = what_is_wrong(folder, versions, had_one)
            if found:
                wrong.append(f"kill {count}: {found}")
        newest = options.kills + 2
        versions = [*versions, f"good:{newest}"]
        publish(signing, versions[-1])
        seconds, came = settle(folder, versions, newest, signing)
        if not came:
            wrong.append("the newest version does not serve in the end")
        print(f"{options.kills} kills in {time.perf_counter() - begun:.0f} s; then {seconds:.2f} s for the last update")
    print("they fell in: " + ", ".join(f"{state} {count}" for state, count in fell.most_common()))
    print("\n".join([*wrong, f"{len(wrong)} times something was wrong"]))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
