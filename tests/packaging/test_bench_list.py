"""`make bench`: every command of the list can be run by it, and what fails is said."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.run import LIST, Outcome, filled, listed, main, name_of, report, run

COMMANDS = listed(LIST.read_text("utf-8"))
GIVEN = {"DIR": "/out", "CACHE": "/cache"}


def test_the_list_is_read_whole() -> None:
    assert len(COMMANDS) > 40
    assert {"canary", "crash_states", "kill_agent", "kernels"} <= {name_of(command) for command in COMMANDS}


def test_only_what_a_person_must_get_first_is_missing() -> None:
    missing = {name_of(command): filled(command, GIVEN)[1] for command in COMMANDS}
    assert {name: word for name, word in missing.items() if word} == {
        "tuf_conformance": "SUITE",
        "arm64_device": "ROOT",
        "arm64_kernels": "ROOT",
    }


@pytest.mark.parametrize("command", COMMANDS, ids=name_of)
def test_each_is_there_and_is_given_what_it_demands(command: str) -> None:
    words, _ = filled(command, {**GIVEN, "ROOT": "/root-fs", "SUITE": "/suite"})
    module = words[2].replace(".", "/") if words[1] == "-m" else words[1].removesuffix(".py")
    source = LIST.parent.parent / f"{module}.py"
    given = words[3 if words[1] == "-m" else 2 :]
    text = source.read_text("utf-8").partition("\ndef client(")[0]  # of the command that the conformance suite calls
    options, positionals = set[str](), 0
    for call in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)):
        if not isinstance(call.func, ast.Attribute) or call.func.attr != "add_argument":
            continue
        names = [str(ast.literal_eval(name)) for name in call.args]
        told = {item.arg: ast.unparse(item.value) for item in call.keywords}
        options |= {name for name in names if name.startswith("-")}
        positionals += not names[0].startswith("-") and told.get("nargs") not in ("'?'", "'*'")
        assert told.get("required") != "True" or set(names) & set(given), names
    assert {word for word in given if word.startswith("-")} <= options
    assert len([word for word in given if not word.startswith("-")]) >= positionals


def test_what_stands_in_brackets_is_left_out_where_it_cannot_be() -> None:
    assert filled("python -m benchmarks.x [--root-fs ROOT] -n 2", {}) == ([sys.executable, "-m", "benchmarks.x", "-n", "2"], "")
    assert filled("python -m benchmarks.x [--root-fs ROOT]", {"ROOT": "/a b"})[0][-2:] == ["--root-fs", "/a b"]


def test_a_benchmark_that_fails_or_lacks_something_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    failed = run("python -m benchmarks.canary --no-such-option", tmp_path, {})
    lacking = run("python benchmarks/tuf_conformance.py SUITE", tmp_path, {})
    assert (failed.code, lacking.code) == (2, None)
    assert "--no-such-option" in (tmp_path / "canary.log").read_text("utf-8")
    assert report([failed, lacking, Outcome("python x", 0, 1.0)]) == 1
    said = capfd.readouterr().out
    assert [word for word in ("FAILED with 2", "needs --set SUITE=PATH", "done") if word not in said] == []


def test_a_name_that_is_not_in_the_list_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--only", "canari"])
    assert ended.value.code == 2
    assert "canari: not in benchmarks/README.md" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--set", "ROOT"])
    assert "--set wants WORD=PATH" in capsys.readouterr().err


def test_the_list_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(COMMANDS)


def test_it_runs_as_make_runs_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.run", "--only", "tuf_conformance"],
        cwd=LIST.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "needs --set SUITE=PATH" in done.stdout) == (0, True)
