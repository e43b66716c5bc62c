"""Attacks on the artifact's file: flipped bits, cut files, hostile zips. All are refused in one sentence."""

from __future__ import annotations

import io
import json
import random
import stat
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from edgewright.core import artifact_arrays, artifact_json, artifact_zip
from edgewright.core.artifact import ArtifactContent, TestVectors, member, seal
from edgewright.core.artifact_read import read_artifact
from edgewright.core.artifact_write import build_artifact
from edgewright.core.canonical import dumps
from edgewright.core.errors import ArtifactError
from edgewright.core.executor import TensorSpec
from edgewright.core.manifest import (
    DataRecord,
    GateRecord,
    Manifest,
    RuntimeRecord,
    SourceRecord,
    TargetRecord,
    Tolerance,
)
from hypothesis import given, settings
from hypothesis import strategies as st

END, CENTRAL, LOCAL = struct.Struct("<IHHHHIIH"), struct.Struct("<IHHHHHHIIIHHHHHII"), struct.Struct("<IHHHHHIIIHH")


def build(files: dict[str, bytes]) -> bytes:
    manifest = Manifest(
        name="t",
        source=SourceRecord("t", "onnx", "0" * 64),
        data=DataRecord("d", "1" * 64),
        pipeline="",
        precision="int8",
        target=TargetRecord("p", "x86_64", (), 1),
        runtime=RuntimeRecord("onnxruntime", "1"),
        entry="m",
        inputs=(TensorSpec("x", "uint8", (1,)),),
        outputs=(TensorSpec("y", "uint8", (1,)),),
        gates=(GateRecord("g", "passed"),),
        versions={},
        measured_on=None,
    )
    one = np.ones(1, np.uint8)
    return build_artifact(
        ArtifactContent(manifest, files, TestVectors({"x": one}, {"y": one}, {"y": Tolerance(0.0, 0.0)}, "a"))
    )


@pytest.fixture(scope="module")
def small() -> bytes:
    return build({"m": b"model"})


@pytest.fixture(scope="module")
def large() -> bytes:
    return build({"m": random.Random(0).randbytes(300_000), "n": bytes(100_000)})


def refused(data: bytes) -> str:
    with pytest.raises(ArtifactError) as caught:
        read_artifact(data)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("the artifact cannot be trusted: ")
    return message


def repacked(data: bytes, change: Callable[[dict[str, bytes]], None], reseal: bool = False) -> bytes:
    """The container made again after `change` of its members, with a right seal where asked for."""
    members = artifact_zip.unpack(data)
    change(members)
    if reseal:
        del members["seal.json"]
        members["seal.json"] = dumps(seal(member(name, content) for name, content in members.items()))
    return artifact_zip.pack(members)


def test_every_bit_of_a_small_artifact(small: bytes) -> None:
    read_artifact(small)
    damaged = bytearray(small)
    for position in range(len(small)):
        for bit in range(8):
            damaged[position] ^= 1 << bit
            with pytest.raises(ArtifactError):
                read_artifact(bytes(damaged))
            damaged[position] ^= 1 << bit
    assert damaged == small


def test_a_sample_of_bits_of_a_large_artifact(large: bytes) -> None:
    read_artifact(large)
    choose = random.Random(1)
    damaged = bytearray(large)
    for position in choose.sample(range(len(large)), 400):
        bit = 1 << choose.randrange(8)
        damaged[position] ^= bit
        with pytest.raises(ArtifactError):
            read_artifact(bytes(damaged))
        damaged[position] ^= bit


@settings(max_examples=400, deadline=None, derandomize=True)
@given(data=st.data())
def test_spliced_pieces_of_itself(small: bytes, data: st.DataObject) -> None:
    """Any range of the file replaced by any other range or by noise: what an editor or a bad disk would leave."""
    places = st.integers(0, len(small))
    begin, end = sorted((data.draw(places), data.draw(places)))
    first, last = sorted((data.draw(places), data.draw(places)))
    piece = data.draw(st.just(small[first:last]) | st.binary(max_size=40))
    spliced = small[:begin] + piece + small[end:]
    if spliced != small:
        refused(spliced)


@pytest.mark.parametrize("seed", range(20))
def test_two_flips_that_may_hide_each_other(small: bytes, seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(100):
        damaged = bytearray(small)
        for position in choose.sample(range(len(small)), 2):
            damaged[position] ^= 1 << choose.randrange(8)
        refused(bytes(damaged))


def test_cut_at_every_length(small: bytes) -> None:
    for length in range(len(small)):
        with pytest.raises(ArtifactError):
            read_artifact(small[:length])


def test_bytes_before_after_and_between(small: bytes) -> None:
    refused(b"\0" + small)
    refused(small + b"\0")
    refused(small + small)
    for position in range(0, len(small), 17):
        refused(small[:position] + b"\0" + small[position:])
        refused(small[:position] + small[position + 1 :])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=300))
def test_noise(noise: bytes) -> None:
    refused(noise)
    end = END.pack(0x06054B50, 0, 0, len(noise) % 7, len(noise) % 7, len(noise), 0, 0)
    refused(noise + end)


def test_a_patched_member_with_a_right_crc_fails_its_digest(small: bytes) -> None:
    def change(members: dict[str, bytes]) -> None:
        members["model/m"] = b"mobel"

    assert "'model/m' is not what the manifest tells" in refused(repacked(small, change, reseal=True))


@pytest.mark.parametrize("name", ["measurements.json", "seal.json", "manifest.json"])
def test_json_members_exchanged_without_a_new_seal(small: bytes, name: str) -> None:
    def change(members: dict[str, bytes]) -> None:
        value = json.loads(members[name])
        value["seed" if name == "manifest.json" else "other"] = 9
        members[name] = dumps(value)

    assert "seal" in refused(repacked(small, change))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b'"manifest_version":1', b'"manifest_version":2', "reads version 1"),
        (b'"manifest_version":1', b'"manifest_version":"1"', "not a count"),
        (b'"seed":0', b'"seed":0,"seed":0', "canonical"),
        (b'"seed":0', b'"seed": 0', "canonical"),
        (b'"seed":0', b'"seed":NaN', "canonical"),
        (b'"seed":0', b'"seed":1e999', "canonical"),
        (b'"seed":0', b'"seed":-0', "canonical"),
        (b'"seed":0', b'"seed":' + b"9" * 5000, "not JSON"),
        (b'"seed":0', b'"seed":0,"seedy":1', "fields that this version does not know"),
        (b'"seed":0,', b"", "has no 'seed'"),
        (b'"pipeline":""', b'"pipeline":"\xff"', "not JSON"),
        (b'"pipeline":""', b'"pipeline":"\\ud800"', "canonical"),
        (b'"ledger":null', b'"ledger":' + b"[" * 100_000 + b"]" * 100_000, "nested deeper"),
        (b'"ledger":null', b'"ledger":' + b"[" * 17 + b"]" * 17, "nested deeper"),
        (b'"ledger":null', b'"ledger":"' + b"x" * (5 << 20) + b'"', "bytes, more than"),
        (b'"status":"passed"', b'"status":"failed"', "only what passed"),
        (b'"gates":[{', b'"gates":[7,{', "is not an object"),
        (b'"entry":"m"', b'"entry":"../../etc/passwd"', "entry file"),
        (b'"entry":"m"', b'"entry":"n"', "entry file"),
        (b'"dtype":"uint8"', b'"dtype":"object"', "unknown dtype"),
        (b'"shape":[1]', b'"shape":[-1]', "not a size"),
        (b'"shape":[1]', b'"shape":[true]', "not a size"),
        (b'"samples":1', b'"samples":0', "need a sample"),
        (b'"absolute":0.0', b'"absolute":0', "floating-point"),
        (b'"report_only":false', b'"report_only":0', "true or false"),
        (b'"isa":[]', b'"isa":[1]', "list of strings"),
        (b'"isa":[]', b'"isa":{}', "not a list"),
        (b'"histograms":[]', b'"histograms":[{"counts":[0,0],"edges":["a"],"kind":"input","tensor":"x"}]', "floating-point"),
        (b'"histograms":[]', b'"histograms":[{"counts":[0.5],"edges":[0.0],"kind":"input","tensor":"x"}]', "list of counts"),
        (b'"digest":"1', b'"digest":"G', "SHA-256"),
    ],
)
def test_hostile_manifests(small: bytes, old: bytes, new: bytes, words: str) -> None:
    def change(members: dict[str, bytes]) -> None:
        assert old in members["manifest.json"]
        members["manifest.json"] = members["manifest.json"].replace(old, new, 1)

    assert words in refused(repacked(small, change, reseal=True))


@pytest.mark.parametrize("value", [b"[]", b"null", b"", b"{", b'{"a":NaN}', b'{"a":1,"a":1}', b"\xef\xbb\xbf{}"])
def test_hostile_measurements(small: bytes, value: bytes) -> None:
    refused(repacked(small, lambda members: members.update({"measurements.json": value}), reseal=True))


def test_members_that_the_manifest_does_not_list(small: bytes) -> None:
    def extra(members: dict[str, bytes]) -> None:
        kept = dict(members)
        members.clear()
        members.update(dict(sorted({**kept, "model/z": b""}.items(), key=lambda item: _place(item[0]))))

    assert "is not what the manifest tells" in refused(repacked(small, extra, reseal=True))

    def outside(members: dict[str, bytes]) -> None:
        kept = dict(members)
        members.clear()
        members.update(dict(sorted({**kept, "other": b""}.items(), key=lambda item: _place(item[0]))))

    assert "not the model files and test vectors" in refused(repacked(small, outside, reseal=True))


def _place(name: str) -> tuple[int, str]:
    return ({"manifest.json": 0, "measurements.json": 2, "seal.json": 3}.get(name, 1), name)


def test_another_order_and_missing_members(small: bytes) -> None:
    members = artifact_zip.unpack(small)
    assert "order" in refused(artifact_zip.pack(dict(reversed(members.items()))))
    for name in members:
        refused(artifact_zip.pack({key: value for key, value in members.items() if key != name}))
    refused(artifact_zip.pack({}))


def zipped(members: dict[str, bytes], **options: int) -> bytes:
    """The members as Python's zipfile writes them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def test_zips_of_other_tools(small: bytes) -> None:
    members = artifact_zip.unpack(small)
    refused(zipped(members))
    refused(zipped(members, compression=zipfile.ZIP_DEFLATED))
    refused(zipped(members, compression=zipfile.ZIP_LZMA))


def test_a_bomb_inflates_nothing() -> None:
    bomb = zipped({"manifest.json": bytes(50 << 20)}, compression=zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    try:
        refused(bomb)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_symbolic_link(small: bytes) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in artifact_zip.unpack(small).items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system = 3
            info.external_attr = (stat.S_IFLNK if name == "model/m" else stat.S_IFREG) << 16 | 0o644 << 16
            file.writestr(info, content)
    refused(buffer.getvalue())


def central_offset(data: bytes) -> int:
    return int(END.unpack_from(data, len(data) - END.size)[6])


CENTRAL_FIELDS = range(17)


@pytest.mark.parametrize("index", CENTRAL_FIELDS)
@pytest.mark.parametrize("value", ["largest", "next"])
def test_each_field_of_the_directory(small: bytes, index: int, value: str) -> None:
    start = central_offset(small)
    fields = list(CENTRAL.unpack_from(small, start))
    limit = 0xFFFF if CENTRAL.format.replace("<", "")[index] == "H" else 0xFFFFFFFF
    fields[index] = limit if value == "largest" else (fields[index] + 1) & limit
    refused(small[:start] + CENTRAL.pack(*fields) + small[start + CENTRAL.size :])


@pytest.mark.parametrize("index", range(11))
def test_each_field_of_a_local_header(small: bytes, index: int) -> None:
    fields = list(LOCAL.unpack_from(small, 0))
    fields[index] ^= 1
    refused(LOCAL.pack(*fields) + small[LOCAL.size :])


@pytest.mark.parametrize("index", range(8))
@pytest.mark.parametrize("value", [0, 1, 0xFFFF, 0xFFFFFFFF])
def test_each_field_of_the_end_record(small: bytes, index: int, value: int) -> None:
    start = len(small) - END.size
    fields = list(END.unpack_from(small, start))
    limit = 0xFFFF if END.format.replace("<", "")[index] == "H" else 0xFFFFFFFF
    if fields[index] == value & limit:
        return
    fields[index] = value & limit
    refused(small[:start] + END.pack(*fields))


def test_zip64_records_are_not_read(small: bytes) -> None:
    start = len(small) - END.size
    wide = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, 6, 6, start - central_offset(small), central_offset(small))
    locator = struct.pack("<IIQI", 0x07064B50, 0, start, 1)
    refused(small[:start] + wide + locator + small[start:])
    ends = END.pack(0x06054B50, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    refused(small[:start] + wide + locator + ends)


def entry(name: bytes, content: bytes, offset: int) -> bytes:
    crc = zlib.crc32(content)
    sizes = (crc, len(content), len(content), len(name), 0, 0, 0, 0, 0o100644 << 16, offset)
    return CENTRAL.pack(0x02014B50, (3 << 8) | 20, 10, 0, 0, 0, 0x21, *sizes) + name


def container(body: bytes, entries: list[bytes]) -> bytes:
    directory = b"".join(entries)
    return body + directory + END.pack(0x06054B50, 0, 0, len(entries), len(entries), len(directory), len(body), 0)


def test_overlapping_members(small: bytes) -> None:
    body = small[: central_offset(small)]
    first = artifact_zip.unpack(small)["manifest.json"]
    refused(container(body, [entry(b"manifest.json", first, 0), entry(b"model/m", first, 0)]))
    whole = container(body, [entry(b"manifest.json", first, 0)] * 2)
    assert "twice" in refused(whole)


@pytest.mark.parametrize(
    "name",
    [
        b"/etc/passwd",
        b"../x",
        b"a/../b",
        b"a\\b",
        b"C:x",
        b".",
        b"..",
        b"a//b",
        b"a/",
        b"",
        b"\xc3\xa9",
        b"a\0b",
        b"~",
        b"-r",
        b"x" * 201,
    ],
)
def test_hostile_names(name: bytes) -> None:
    header = LOCAL.pack(0x04034B50, 10, 0, 0, 0, 0x21, 0, 0, 0, len(name), 0) + name
    refused(container(header, [entry(name, b"", 0)]))


def test_a_directory_that_claims_many_members(small: bytes) -> None:
    start = len(small) - END.size
    fields = list(END.unpack_from(small, start))
    fields[3] = fields[4] = 0xFFFE
    assert "members, more than the 1024" in refused(small[:start] + END.pack(*fields))
    many = [entry(b"m%d" % index, b"", 0) for index in range(1025)]
    assert "members, more than the 1024" in refused(container(b"", many))


ARRAY = artifact_arrays.encode(np.ones(1, np.uint8), "a test")


@pytest.mark.parametrize(
    "array",
    [
        b"",
        ARRAY[:-1],
        ARRAY + b"\0",
        ARRAY.replace(b"|u1", b"|O8"),
        ARRAY.replace(b"|u1", b"<u8"),
        ARRAY.replace(b"|u1", b">u1"),
        ARRAY.replace(b"|u1", b"<b8"),
        ARRAY.replace(b"(1,)", b"(9,)"),
        ARRAY.replace(b"(1,)", b"(1 )"),
        ARRAY.replace(b"(1,), }" + b" " * 18, b"(999999999999999999, 9), }"),
        ARRAY.replace(b"False", b"True "),
        ARRAY.replace(b"NUMPY\1", b"NUMPY\3"),
        artifact_arrays.encode(np.ones((1, 1), np.uint8), "a test"),
        artifact_arrays.encode(np.ones(2, np.uint8), "a test"),
        artifact_arrays.encode(np.ones(1, np.int8), "a test"),
    ],
)
def test_hostile_arrays_with_right_digests(small: bytes, array: bytes) -> None:
    """They are found when the vectors are decoded, before anything is allocated."""
    name = "test_vectors/inputs/000.npy"
    assert array != artifact_zip.unpack(small)[name]

    def change(members: dict[str, bytes]) -> None:
        members[name] = array
        manifest = Manifest.from_json(json.loads(members["manifest.json"]))
        listed = tuple(member(item.name, members[item.name]) for item in manifest.members)
        members["manifest.json"] = dumps(replace(manifest, members=listed).to_json())

    found = read_artifact(repacked(small, change, reseal=True))
    with pytest.raises(ArtifactError):
        _ = found.test_vectors


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=80))
def test_noise_is_no_json_and_no_array(noise: bytes) -> None:
    with pytest.raises(ArtifactError):
        artifact_arrays.decode(noise, "a test")
    try:
        value = artifact_json.parse(noise, "a test")
    except ArtifactError:
        return
    assert dumps(value) == noise
