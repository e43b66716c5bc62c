"""The step store: finished results are found, damaged and half-written ones are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from edgewright.core.errors import StoreError
from edgewright.core.store import StepStore


def _write(name: str, data: bytes):
    return lambda folder: (folder / name).write_bytes(data)


def test_a_result_is_made_once(tmp_path: Path) -> None:
    store, made = StepStore(tmp_path), []
    key = store.key("step", model="m")
    for _ in range(2):
        folder = store.step(key, lambda folder: (made.append(1), (folder / "a").write_bytes(b"x")))
    assert (folder / "a").read_bytes() == b"x"
    assert made == [1]


def test_keys_depend_on_every_part() -> None:
    keys = {StepStore.key("a", x=1), StepStore.key("b", x=1), StepStore.key("a", x=2), StepStore.key("a", y=1)}
    assert len(keys) == 4


@pytest.mark.parametrize("damage", [b"", b"y", None])
def test_a_damaged_result_is_made_again(tmp_path: Path, damage: bytes | None) -> None:
    store = StepStore(tmp_path)
    key = store.key("step")
    folder = store.step(key, _write("a", b"x"))
    if damage is None:
        (folder / "a").unlink()
    else:
        (folder / "a").write_bytes(damage)
    assert store.find(key) is None
    assert (store.step(key, _write("a", b"x")) / "a").read_bytes() == b"x"


def test_a_failed_step_leaves_nothing(tmp_path: Path) -> None:
    store = StepStore(tmp_path)
    key = store.key("step")

    def fail(folder: Path) -> None:
        (folder / "a").write_bytes(b"half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        store.step(key, fail)
    assert store.find(key) is None
    assert not list((tmp_path / "scratch").iterdir())


def test_the_slower_of_two_processes_keeps_the_first_result(tmp_path: Path) -> None:
    store = StepStore(tmp_path)
    key = store.key("step")

    def overtaken(folder: Path) -> None:
        StepStore(tmp_path).step(key, _write("a", b"first"))
        (folder / "a").write_bytes(b"second")

    assert (store.step(key, overtaken) / "a").read_bytes() == b"first"


def test_json_steps_round_trip(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None], "a": "é"}
    store = StepStore(tmp_path)
    assert store.json_step("ab" * 32, lambda: value) == value
    assert store.json_step("ab" * 32, lambda: pytest.fail("made twice")) == value


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(StoreError, match="writable folder"):
        StepStore(file / "store")


def test_old_scratch_is_removed(tmp_path: Path) -> None:
    stale = StepStore(tmp_path).root / "scratch" / "old"
    stale.mkdir()
    os.utime(stale, (1, 1))
    StepStore(tmp_path)
    assert not stale.exists()
