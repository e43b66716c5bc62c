"""Making a root: what is missing is one sentence, and what fails or is interrupted leaves nothing behind."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest
from edgewright.cli.main import main
from edgewright.core.errors import RuntimeFailure, StoreError, UsageError
from edgewright.core.progress import Silent
from edgewright.runtimes.emulated.cores import CORES
from edgewright.runtimes.emulated.emulator import Emulator
from edgewright.runtimes.emulated.needs import why_not
from edgewright.runtimes.emulated.prepare import prepare
from edgewright.runtimes.emulated.root import Root

# Stands in for debootstrap: --arch, --foreign, --variant, --include, the suite, then the folder.
HALF = 'shift 5\nmkdir -p "$1/usr/bin" "$1/var"\ntouch "$1/var/half"\n'


def test_a_machine_that_has_everything_can(able) -> None:
    able()
    assert why_not(to_make=True) is None


def test_what_is_missing_is_named_with_its_package(able, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    able()
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    for name in ("qemu-aarch64-static", "debootstrap"):
        (tmp_path / "programs" / name).unlink()
    assert why_not(to_make=True) == (
        "an emulated device needs Debian's debootstrap, qemu-user-static; apt-get install debootstrap qemu-user-static."
    )
    assert why_not() == "an emulated device needs Debian's qemu-user-static; apt-get install qemu-user-static."


def test_who_is_not_root_and_who_needs_no_emulation_are_told_so(able, monkeypatch: pytest.MonkeyPatch) -> None:
    able()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "needs root" in str(why_not())
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert "arm64 CPU of its own" in str(why_not())


def test_a_folder_of_other_files_is_left_alone(able, tmp_path: Path) -> None:
    able()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="home holds other files; give an empty or new folder"):
        prepare(tmp_path / "home", Silent())
    assert (tmp_path / "home" / "letter.txt").read_text() == "dear"


def test_a_step_that_fails_says_why_and_leaves_nothing(able, tmp_path: Path) -> None:
    able(debootstrap=HALF + 'echo "I: Retrieving"\necho "E: Failed getting release file"\necho bye\nexit 1')
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StoreError, match="debootstrap failed: E: Failed getting release file; mend that and run it again"):
        prepare(tmp_path / "arm64", Silent())
    assert sorted(tmp_path.iterdir()) == before


CHILD = """
import os, platform, sys
from pathlib import Path
from edgewright.core.progress import Silent
from edgewright.runtimes.emulated.prepare import prepare
os.geteuid, platform.machine = lambda: 0, lambda: "x86_64"
try:
    prepare(Path(sys.argv[1]), Silent())
except KeyboardInterrupt:
    sys.exit(77)
"""


def test_an_interrupt_ends_the_step_with_all_its_processes_and_leaves_nothing(able, tmp_path: Path) -> None:
    able(debootstrap=HALF + f'sleep 600 &\necho $! > "{tmp_path}/programs/pid"\nkill -INT $PPID\nwait')
    before = sorted(tmp_path.iterdir())
    found = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "arm64")], capture_output=True, text=True, timeout=60, check=False
    )
    assert found.returncode == 77, found.stderr
    assert sorted(tmp_path.iterdir()) == before
    assert is_gone(int((tmp_path / "programs" / "pid").read_text()))


def test_what_a_killed_run_left_is_not_built_upon(able, tmp_path: Path) -> None:
    able(debootstrap=HALF + 'test ! -e "$1/stale" || echo "E: stale"\nexit 1')
    (tmp_path / ".arm64.part" / "stale").mkdir(parents=True)
    with pytest.raises(StoreError, match="debootstrap failed: it said nothing"):
        prepare(tmp_path / "arm64", Silent())
    assert not (tmp_path / ".arm64.part").exists()


def test_a_root_that_is_whole_is_not_made_again(able, looks_prepared: Root) -> None:
    able()  # every program fails
    assert prepare(looks_prepared.folder, Silent()) == looks_prepared


def test_wheels_that_did_not_come_are_not_taken_for_there(able, looks_prepared: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    able()
    looks_prepared.stamp({"numpy": "1.0"})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(StoreError, match=r"pip failed: ERROR: No matching distribution found for .*; mend that"):
        prepare(looks_prepared.folder, Silent())
    assert looks_prepared.wheels() == {}
    with pytest.raises(UsageError, match="is no prepared arm64 root; run `edgewright emulation prepare"):
        Emulator.open(looks_prepared.folder)


@pytest.mark.parametrize(
    ("wheels", "words"),
    [
        ({"numpy": "1.0"}, "has numpy 1.0, this machine"),
        ({"onnxruntime": "1"}, "has no numpy, this machine"),
    ],
)
def test_a_root_of_other_versions_is_refused(able, looks_prepared: Root, wheels: dict[str, str], words: str) -> None:
    able()
    looks_prepared.stamp(wheels)
    with pytest.raises(UsageError, match=words):
        Emulator.open(looks_prepared.folder)


def test_a_core_that_fails_is_told_with_its_last_words(able, looks_prepared: Root) -> None:
    able()  # the folder has no place for this package's code: the first mount fails, as whoever runs it
    with pytest.raises(RuntimeFailure, match=r"the emulated Cortex-A72 failed: mount: .*; run `edgewright emulation prepare`"):
        Emulator.open(looks_prepared.folder).on(CORES[0])


@pytest.mark.parametrize("command", ["compile", "prepare"])
def test_the_command_line_refuses_in_one_sentence(
    able, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    able()
    given = {
        "compile": ["compile", "m.onnx", "--data", "d.npz", "--profile", "raspberry-pi-4b", "--emulate", str(tmp_path / "no")],
        "prepare": ["emulation", "prepare", str(tmp_path)],
    }[command]
    with pytest.raises(SystemExit) as ended:
        main([*given, *(["--out", str(tmp_path / "out")] if command == "compile" else [])])
    assert ended.value.code == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert said[0].startswith("error[E-USAGE]: ")
    assert ("is no prepared arm64 root" if command == "compile" else "holds other files") in said[0]


def is_gone(pid: int) -> bool:
    """Whether a process has ended, within ten seconds."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False
