"""Atomic writes: the old content or the new, never a half."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from edgewright.core.errors import StoreError
from edgewright.core.files import folder_in_place, write_atomic


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
