"""Hostile media and mirrors: a tar or folder that leads out, fills memory or hangs; metadata that are no metadata."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from random import Random

import pytest
from edgewright.core.errors import NetworkError, VerificationError
from edgewright.fleet.http import Http
from edgewright.fleet.trust import tar
from edgewright.fleet.trust.origin import FolderOrigin
from edgewright.fleet.trust.source import RepositorySource, origin_at
from edgewright.fleet.trust.tar import TarOrigin
from simulated import SimulatedClock, SimulatedDisk
from simulated_repository import SimulatedRepository, versions

DATA = Random(1).randbytes(100_000)


@pytest.fixture(scope="module")
def repository() -> SimulatedRepository:
    made = SimulatedRepository(SimulatedClock())
    made.offer(DATA)
    made.publish()
    return made


@pytest.fixture
def folder(repository: SimulatedRepository, tmp_path: Path) -> Path:
    for kind, files in (("metadata", repository.metadata_files), ("targets", repository.files)):
        for name, data in files.items():
            path = tmp_path / "repo" / kind / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return tmp_path / "repo"


def device(repository: SimulatedRepository, where: Path) -> tuple[RepositorySource, SimulatedDisk]:
    disk, clock = SimulatedDisk(), SimulatedClock()
    return RepositorySource(disk, origin_at(str(where), Http(clock)), clock, repository.first_root()), disk


def packed(path: Path, members: list[tuple[tarfile.TarInfo, bytes]], form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as made:
        for member, data in members:
            member.size = len(data) if member.isreg() else 0
            made.addfile(member, io.BytesIO(data))
    return path


def test_a_folder_is_a_repository(repository: SimulatedRepository, folder: Path) -> None:
    one, disk = device(repository, folder)
    one.refresh()
    assert disk.read(one.fetch(one.offers()[0], {})) == DATA


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("top", ["", ".", "repo"])
def test_a_tar_is_a_repository(repository: SimulatedRepository, folder: Path, tmp_path: Path, form: int, top: str) -> None:
    path = tmp_path / "repo.tar"
    with tarfile.open(path, "w", format=form) as made:
        if top:
            made.add(folder, top)
        else:
            for kind in ("metadata", "targets"):
                made.add(folder / kind, kind)
    one, disk = device(repository, path)
    one.refresh()
    assert disk.read(one.fetch(one.offers()[0], {})) == DATA


def test_a_medium_that_is_not_there(repository: SimulatedRepository, tmp_path: Path) -> None:
    for where in (tmp_path / "nothing", tmp_path / "nothing.tar"):
        with pytest.raises(NetworkError, match="plug in the medium"):
            device(repository, where)[0].refresh()


def test_a_repository_copied_half(repository: SimulatedRepository, folder: Path) -> None:
    next((folder / "targets").rglob("*.ewa")).write_bytes(DATA[:5000])
    one, _ = device(repository, folder)
    one.refresh()
    with pytest.raises(VerificationError, match="has 5000 bytes there"):
        one.fetch(one.offers()[0], {})
    next((folder / "targets").rglob("*.ewa")).unlink()
    with pytest.raises(NetworkError, match="copy the whole repository"):
        one.fetch(one.offers()[0], {})


def test_a_pipe_a_device_and_a_link_are_not_read(folder: Path) -> None:
    os.mkfifo(folder / "metadata/pipe.json")
    (folder / "metadata/link.json").symlink_to("/etc/hostname")
    (folder / "metadata/zero.json").symlink_to("/dev/zero")
    for name in ("pipe.json", "link.json", "zero.json"):
        with pytest.raises(NetworkError, match="plain file"):
            FolderOrigin(folder).metadata(name, 1000)


def test_names_do_not_lead_out_of_a_folder(folder: Path) -> None:
    (folder.parent / "secret").write_bytes(b"x")
    for name in ("../../secret", "/etc/hostname", "a/../../../secret", "\0"):
        with pytest.raises(NetworkError, match="leads out"):
            FolderOrigin(folder).metadata(name, 1000)


def test_metadata_too_long(folder: Path) -> None:
    with (folder / "metadata/timestamp.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(NetworkError, match="more than the"):
        FolderOrigin(folder).metadata("timestamp.json", 16384)


def info(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


@pytest.mark.parametrize(
    ("member", "says"),
    [
        (info("metadata/timestamp.json", tarfile.SYMTYPE, "/etc/passwd"), "neither a file nor a folder"),
        (info("metadata/timestamp.json", tarfile.LNKTYPE, "metadata/a"), "neither a file nor a folder"),
        (info("metadata/fifo", tarfile.FIFOTYPE), "neither a file nor a folder"),
        (info("metadata/device", tarfile.CHRTYPE), "neither a file nor a folder"),
        (info("../metadata/a"), "leads out"),
        (info("metadata/../../a"), "leads out"),
        (info("/metadata/a"), "leads out"),
        (info("metadata/" + "a" * 500), "name of more than 500"),
    ],
)
def test_a_tar_with_a_member_that_it_may_not_have(tmp_path: Path, member: tarfile.TarInfo, says: str) -> None:
    path = packed(tmp_path / "a.tar", [(info("metadata/b"), b"x"), (member, b"")])
    with pytest.raises(NetworkError, match=says):
        TarOrigin(path).metadata("b", 10)


def test_a_tar_with_a_name_twice(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar", [(info("metadata/b"), b"x"), (info("./metadata/b"), b"y")])
    with pytest.raises(NetworkError, match="there twice"):
        TarOrigin(path).metadata("b", 10)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE])
def test_a_tar_whose_header_would_fill_memory(tmp_path: Path, kind: bytes) -> None:
    header = info("x", kind)
    header.size = 1 << 32
    path = tmp_path / "a.tar"
    with path.open("wb") as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        file.truncate(1 << 33)
    with pytest.raises(NetworkError, match="header of more than"):
        TarOrigin(path).metadata("b", 10)


def test_a_tar_of_headers_upon_headers(tmp_path: Path) -> None:
    header = info("x", tarfile.GNUTYPE_LONGNAME)
    header.size = 1
    path = tmp_path / "a.tar"
    path.write_bytes((header.tobuf(tarfile.GNU_FORMAT) + b"a" * 512) * 5000)
    with pytest.raises(NetworkError, match="cannot be used"):
        TarOrigin(path).metadata("b", 10)


def test_a_tar_of_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar, "MAX_MEMBERS", 10)
    path = packed(tmp_path / "a.tar", [(info(f"metadata/{index}"), b"") for index in range(11)])
    with pytest.raises(NetworkError, match="more than 10 members"):
        TarOrigin(path).metadata("b", 10)


def test_a_compressed_tar_is_not_unpacked(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w:gz") as made:
        made.addfile(info("metadata/b"), io.BytesIO())
    with pytest.raises(NetworkError, match="cannot be used"):
        TarOrigin(tmp_path / "a.tar").metadata("b", 10)


def test_a_tar_cut_off_or_spoilt_ends_in_a_sentence(repository: SimulatedRepository, folder: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.tar"
    with tarfile.open(whole, "w") as made:
        made.add(folder, "repo")
    data, source = whole.read_bytes(), Random(3)
    path = tmp_path / "spoilt.tar"
    for _ in range(40):
        spoilt = bytearray(data[: source.randrange(len(data))])
        for _ in range(source.randrange(20)):
            at = source.randrange(len(spoilt) // 512 + 1) * 512 + source.randrange(500)
            spoilt[at : at + 1] = source.randbytes(1)
        path.write_bytes(spoilt)
        one, _ = device(repository, path)
        try:
            one.refresh()
            for offered in one.offers():
                one.fetch(offered, {})
        except (NetworkError, VerificationError) as error:
            said = str(error)
            assert said.endswith(".")


def test_metadata_that_are_none(repository: SimulatedRepository) -> None:
    """Whatever stands in a metadata file, what comes out is a sentence."""
    source, good = Random(4), dict(repository.metadata_files)
    odd = [b"", b"{}", b"[" * 100_000, b'{"signed": 1}', b"\xff\xfe", b"1" * 9000]
    odd.append(b'{"signed":{"_type":"timestamp"},"signatures":[]}')
    try:
        for name, data in good.items():
            changed = list(odd)
            for _ in range(12):
                spoilt = bytearray(data)
                at = source.randrange(len(spoilt))
                spoilt[at : at + source.randrange(4)] = source.randbytes(source.randrange(4))
                changed.append(bytes(spoilt))
            for odd_data in changed:
                repository.metadata_files = {**good, name: odd_data}
                one = RepositorySource(SimulatedDisk(), repository, SimulatedClock(), good["1.root.json"])
                try:
                    one.refresh()
                except (NetworkError, VerificationError) as error:
                    said = str(error)
                    assert said.endswith(".")
                else:
                    assert versions(one) == [1]
    finally:
        repository.metadata_files = good
