"""The real disk and the simulated one do the same, and say in one sentence what they refuse."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from edgewright.core.errors import StoreError
from edgewright.fleet.disk import Disk, RealDisk, ensure_folder, replace_link, write_durable
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import SimulatedDisk, power_cuts

FILES = ["a", "b", "f/a", "f/b", "f/g/a", "link/a"]
PATHS = [*FILES, "link"]
FOLDERS = [".", "f", "f/g"]
ops = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(FILES), st.binary(max_size=8)),
    st.tuples(st.just("write_range"), st.sampled_from(FILES), st.integers(0, 12), st.binary(max_size=8)),
    st.tuples(st.just("truncate"), st.sampled_from(PATHS), st.integers(0, 12)),
    st.tuples(st.just("rename"), st.sampled_from(PATHS), st.sampled_from(PATHS)),
    st.tuples(st.just("remove"), st.sampled_from([*PATHS, "f/g", "f"])),
    st.tuples(st.just("make_folder"), st.sampled_from(["f", "f/g"])),
    st.tuples(st.just("link"), st.sampled_from(["f", "f/g"]), st.just("link")),
    st.tuples(st.just("sync"), st.sampled_from([*PATHS, *FOLDERS])),
)


def outcome(disk: Disk, op: tuple[object, ...]) -> str:
    try:
        getattr(disk, str(op[0]))(*op[1:])
    except StoreError:
        return "refused"
    return "done"


def content(disk: Disk) -> dict[str, object]:
    found: dict[str, object] = {path: disk.size(path) for path in PATHS}
    found |= {f"{path} has": disk.read(path) for path in PATHS if disk.size(path) is not None}
    return found | {f"{folder}/": disk.names(folder) for folder in FOLDERS} | {"link ->": disk.read_link("link")}


@settings(max_examples=40)
@given(st.lists(ops, max_size=25))
def test_the_simulated_disk_does_what_the_real_one_does(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[object, ...]]
) -> None:
    real, simulated = RealDisk(tmp_path_factory.mktemp("disk")), SimulatedDisk()
    for step in steps:
        assert outcome(real, step) == outcome(simulated, step), step
        assert content(real) == content(simulated)
    assert simulated.copy().identity() == simulated.identity()


@pytest.mark.parametrize("path", ["../up", "/etc/passwd", "a/../../b", "a\0b"])
def test_no_path_leads_out_of_the_data_folder(tmp_path: Path, path: str) -> None:
    with pytest.raises(StoreError, match="does not lie in the data folder"):
        RealDisk(tmp_path).read(path)


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "full").symlink_to("/dev/full")
    with pytest.raises(StoreError, match=r"No space left on device; free some space\.$"):
        RealDisk(tmp_path).write("full", b"data")


def test_a_private_file_is_its_owners_only_from_the_start(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    (tmp_path / "key.pem").write_bytes(b"old")
    write_durable(disk, "key.pem", b"secret", private=True)
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    write_durable(disk, "plain", b"")
    assert (tmp_path / "plain").stat().st_mode & 0o777 == 0o644 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_durable_write_is_the_old_content_or_the_new_at_any_moment() -> None:
    disk = SimulatedDisk()
    ensure_folder(disk, "f/g")
    write_durable(disk, "f/g/file", b"old" * 50)
    begins_at = len(disk.log)
    write_durable(disk, "f/g/file", b"new" * 50)
    found = set()
    for length in range(begins_at, len(disk.log) + 1):
        for cut in power_cuts(disk.log[:length], random.Random(0), 100):
            found.add(cut.read("f/g/file"))
            assert length < len(disk.log) or cut.read("f/g/file") == b"new" * 50
    assert found == {b"old" * 50, b"new" * 50}


def test_a_link_points_to_the_old_or_to_the_new_at_any_moment() -> None:
    disk = SimulatedDisk()
    replace_link(disk, "one", "link")
    begins_at = len(disk.log)
    replace_link(disk, "two", "link")
    for length in range(begins_at, len(disk.log) + 1):
        targets = {cut.read_link("link") for cut in power_cuts(disk.log[:length], random.Random(0), 100)}
        assert targets <= {"one", "two"}
    assert targets == {"two"}


def test_a_refused_durable_write_leaves_the_old_content_and_nothing_else() -> None:
    disk = SimulatedDisk()
    write_durable(disk, "file", b"old")
    disk.capacity = 10
    with pytest.raises(StoreError, match="No space"):
        write_durable(disk, "file", bytes(100))
    assert disk.names(".") == ["file"]
    assert disk.read("file") == b"old"


def test_a_power_cut_takes_what_was_not_synced() -> None:
    disk = SimulatedDisk()
    disk.write("file", b"x" * 200)
    states = list(power_cuts(disk.log, random.Random(0), 100))
    contents = {state.read("file") if state.size("file") is not None else None for state in states}
    assert {None, b"", b"x" * 200, bytes(200), b"x" * 64} <= contents
