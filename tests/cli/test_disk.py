"""A disk that is full, folders that cannot be written: one sentence, and nothing half-written."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
BASE = ("--gate", "top1 >= -3pt", "--profile", "arm64-linux", "--runtime", "onnxruntime", "--precision", "float32")


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    """Files of this process and its children can be no larger, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def _files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize("size", [2_000, 10_000])
def test_a_full_disk_under_store_and_temporary_files(edge: Run, digits: tuple[Path, Path], tmp_path: Path, size: int) -> None:
    arguments = ("compile", digits[0], "--data", _own(digits, tmp_path), "--out", "out", "--store", "store", *BASE)
    with _largest_file(size):
        answer = edge(*arguments)
    answer.refused("E-STORE", "cannot write", "free some space")
    assert not list((tmp_path / "store" / "scratch").iterdir())
    assert edge(*arguments).code == 0


def test_a_full_disk_under_the_output(edge: Run, digits: tuple[Path, Path], tmp_path: Path) -> None:
    """Whichever of the files does not fit, none is left."""
    arguments = ("compile", digits[0], "--data", _own(digits, tmp_path), "--out", "out", "--store", "store", *BASE)
    assert edge(*arguments).code == 0
    sizes = sorted(file.stat().st_size for file in (tmp_path / "out").iterdir())
    for size in sizes[1:]:
        shutil.rmtree(tmp_path / "out")
        with _largest_file(size - 200):
            answer = edge(*arguments)
        # What is smaller than the weights does not fit where those are for a while, before there is anything to put out.
        answer.refused("E-STORE", "cannot write out/" if size == sizes[-1] else "cannot write", "free some space")
        assert not (tmp_path / "out").exists() or not _files(tmp_path / "out")
    assert edge(*arguments).code == 0


@pytest.mark.parametrize("flag", ["--out", "--store"])
def test_a_disk_that_is_really_full(edge: Run, digits: tuple[Path, Path], tmp_path: Path, small_disk: Path, flag: str) -> None:
    (small_disk / "ballast").write_bytes(bytes(48 << 10))
    places = {"--out": "out", "--store": "store"} | {flag: str(small_disk / "here")}
    arguments = [item for pair in places.items() for item in pair]
    answer = edge("compile", digits[0], "--data", _own(digits, tmp_path), *arguments, *BASE)
    answer.refused("E-STORE", f"cannot write {small_disk}", "No space left on device", "free some space")
    if flag == "--out":
        assert not _files(small_disk / "here")


@pytest.mark.parametrize("flag", ["--out", "--store"])
@pytest.mark.parametrize("inside", ["", "/deep/down"])
def test_a_file_where_a_folder_should_be(edge: Run, digits: tuple[Path, Path], tmp_path: Path, flag: str, inside: str) -> None:
    (tmp_path / "file").write_text("mine", "utf-8")
    places = {"--out": "out", "--store": "store"} | {flag: f"file{inside}"}
    arguments = [item for pair in places.items() for item in pair]
    answer = edge("compile", digits[0], "--data", digits[1], *arguments, *BASE)
    answer.refused("E-STORE", f"file{inside}")
    assert (tmp_path / "file").read_text("utf-8") == "mine"


@pytest.mark.parametrize("flag", ["--out", "--store"])
def test_a_folder_that_nobody_can_make(edge: Run, digits: tuple[Path, Path], flag: str) -> None:
    places = {"--out": "out", "--store": "store"} | {flag: "/proc/none"}
    arguments = [item for pair in places.items() for item in pair]
    edge("compile", digits[0], "--data", digits[1], *arguments, *BASE).refused("E-STORE", "/proc/none")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("flag", ["--out", "--store"])
def test_a_folder_without_leave_to_write(edge: Run, digits: tuple[Path, Path], tmp_path: Path, flag: str) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    places = {"--out": "out", "--store": "store"} | {flag: "locked/here"}
    arguments = [item for pair in places.items() for item in pair]
    edge("compile", digits[0], "--data", digits[1], *arguments, *BASE).refused("E-STORE", "locked/here", "Permission denied")


def test_data_in_a_folder_that_is_read_only_cannot_be_judged_on(
    edge: Run, digits: tuple[Path, Path], tmp_path: Path, small_disk: Path
) -> None:
    """A look that cannot be written down is not taken."""
    (small_disk / "data.npy").write_bytes(b"")
    subprocess.run(["mount", "-o", "remount,size=1m", small_disk], check=True)
    shutil.copy(digits[1], small_disk / "data.npz")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    answer = edge("compile", digits[0], "--data", small_disk / "data.npz", "--out", "out", "--store", "store", *BASE)
    answer.refused("E-STORE", "data.npz.ledger.jsonl", "Read-only file system")


def test_a_second_run_repairs_a_store_that_was_damaged(edge: Run, digits: tuple[Path, Path], tmp_path: Path) -> None:
    arguments = ("compile", digits[0], "--data", _own(digits, tmp_path), "--out", "out", "--store", "store", "--json", *BASE)
    assert edge(*arguments).code == 0
    artifact = (tmp_path / "out" / "digits-arm64-linux.ewa").read_bytes()
    for name in _files(tmp_path / "store"):
        (tmp_path / "store" / name).write_bytes(b"rubbish")
    answer = edge(*arguments)
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["targets"][0]["released"]
    assert (tmp_path / "out" / "digits-arm64-linux.ewa").read_bytes() == artifact


@pytest.mark.parametrize("command", ["opt", "run"])
def test_other_outputs_that_cannot_be_written(edge: Run, digits: tuple[Path, Path], tmp_path: Path, command: str) -> None:
    if command == "opt":
        arguments: tuple[Any, ...] = ("opt", digits[0], "--pipeline", "canonicalize", "--out", "file/model.onnx")
    else:
        data = _own(digits, tmp_path)
        assert edge("compile", digits[0], "--data", data, "--out", "made", "--store", "store", *BASE).code == 0
        arguments = ("run", "made/digits-arm64-linux.ewa", "--input", data, "--output", "file/answers.npz")
    (tmp_path / "file").write_text("mine", "utf-8")
    edge(*arguments).refused("E-STORE", "cannot write file/")
    place = str(arguments[-1]).replace("file/", "")
    assert edge(*arguments[:-1], place).code == 0
    size = (tmp_path / place).stat().st_size
    (tmp_path / place).unlink()
    with _largest_file(size - 100):
        edge(*arguments[:-1], place).refused("E-STORE", f"cannot write {place}", "File too large")
    assert not (tmp_path / place).exists()


def _own(digits: tuple[Path, Path], tmp_path: Path) -> Path:
    """The data, where the ledger of others does not lie."""
    if not (tmp_path / "data.npz").exists():
        shutil.copy(digits[1], tmp_path / "data.npz")
    return tmp_path / "data.npz"
