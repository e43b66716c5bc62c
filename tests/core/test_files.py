"""Atomic writes: the old content or the new, never a half."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from edgewright.core.errors import StoreError
from edgewright.core.files import folder_in_place, moved_in, try_writing, write_atomic


def test_write_replaces(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "a"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [item.name for item in path.parent.iterdir()] == ["a"]


def test_a_full_disk_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomic(path, b"old")
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "from edgewright.core.files import write_atomic\n"
        "from edgewright.core.errors import StoreError\n"
        "try:\n    write_atomic(Path(sys.argv[1]), bytes(5000))\n"
        "except StoreError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write {path}")
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["a"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


def test_a_path_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot write"):
        write_atomic(tmp_path / "file" / "a", b"x")


def test_a_folder_appears_whole_or_not(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), folder_in_place(target, tmp_path / "scratch") as made:
        (made / "a").write_bytes(b"x")
        raise KeyboardInterrupt
    assert not target.exists()
    with folder_in_place(target, tmp_path / "scratch") as made:
        (made / "a").write_bytes(b"x")
    assert (target / "a").read_bytes() == b"x"


def _filled(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content, "utf-8")
    return folder


def _content(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text("utf-8") for file in folder.rglob("*") if file.is_file()}


def test_files_are_moved_in_together(tmp_path: Path) -> None:
    out = _filled(tmp_path / "out", a="old a", b="old b", mine="mine")
    with moved_in(out, ["b", "none"]) as made:
        _filled(made, a="new a", c="new c")
        assert made.parent.name.startswith(".edgewright-")
        assert {name: text for name, text in _content(out).items() if "/" not in name} == {
            "a": "old a",
            "b": "old b",
            "mine": "mine",
        }
    assert _content(out) == {"a": "new a", "b.previous": "old b", "c": "new c", "mine": "mine"}
    with moved_in(tmp_path / "new" / "out") as made:
        _filled(made, a="x")
    assert _content(tmp_path / "new" / "out") == {"a": "x"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, StoreError, RuntimeError])
def test_an_error_before_the_moves_changes_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    out = _filled(tmp_path / "out", a="old a", b="old b")
    with pytest.raises(error), moved_in(out, ["b"]) as made:
        _filled(made, a="new a")
        raise error("stop")
    assert _content(out) == {"a": "old a", "b": "old b"}
    assert not list(out.glob(".*"))


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_moves_that_fail_midway_are_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, links: bool
) -> None:
    out = _filled(tmp_path / "out", a="old a", b="old b", c="old c", **{"b.previous": "older b"})
    before = _content(out)
    original = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if self.name == "c" and self.parent.name == "new":
            raise error
        return original(self, target)

    def refuse(self: Path, target: Path) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(Path, "replace", replace)
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    with pytest.raises((KeyboardInterrupt, StoreError)), moved_in(out, ["b"]) as made:
        _filled(made, a="new a", c="new c", d="new d")
    assert _content(out) == before


def test_what_a_killed_process_left_goes_after_a_day(tmp_path: Path) -> None:
    old, new = (tmp_path / f".edgewright-{name}" for name in ("old", "new"))
    mine = tmp_path / ".mine"
    for folder in (old, new, mine):
        _filled(folder, a="x")
    for folder in (old, mine):
        os.utime(folder, (0, 0))
    with moved_in(tmp_path):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".edgewright-new", ".mine"]


def test_folders_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot write"), moved_in(tmp_path / "file" / "out"):
        pass
    with pytest.raises(OSError, match="Not a directory"):
        try_writing(tmp_path / "file" / "out")
    try_writing(tmp_path / "made")
    assert list((tmp_path / "made").iterdir()) == []
