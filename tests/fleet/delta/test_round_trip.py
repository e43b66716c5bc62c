"""What a publisher makes of two files, a device turns into the second one: whatever the files."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from delta.pairs import applied, lowered, network, weights
from edgewright.core.errors import VerificationError
from edgewright.fleet.delta.apply import apply_delta
from edgewright.fleet.delta.container import Memory, OnDisk, read_header
from edgewright.fleet.delta.encode import encode
from edgewright.fleet.delta.make import make_delta
from edgewright.fleet.delta.matching import by_tensors
from edgewright.fleet.delta.tensors import find_tensors
from edgewright.fleet.disk import RealDisk
from edgewright.runtimes import registry
from hypothesis import given, settings
from hypothesis import strategies as st


@st.composite
def edited(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A file and what becomes of it by cutting, repeating, inserting and changing."""
    old = draw(st.binary(max_size=300)) * draw(st.integers(1, 40))
    new = bytearray(old)
    for _ in range(draw(st.integers(0, 5))):
        begin, end = sorted((draw(st.integers(0, len(new))), draw(st.integers(0, len(new)))))
        edit = draw(st.sampled_from(["cut", "repeat", "insert", "change"]))
        if edit == "cut":
            del new[begin:end]
        elif edit == "repeat":
            new[begin:begin] = new[begin:end]
        elif edit == "insert":
            new[begin:begin] = draw(st.binary(max_size=200))
        else:
            new[begin:end] = bytes((value + 1) & 255 for value in new[begin:end])
    return old, bytes(new)


@settings(max_examples=40)
@given(edited())
def test_any_edit(pair: tuple[bytes, bytes]) -> None:
    old, new = pair
    made = make_delta(old, new, with_zstd=True)
    assert {one.codec for one in made} == {"bsdiff", "zstd"}
    for one in made:
        assert applied(old, one.data) == new


@pytest.mark.parametrize("runtime", registry.NAMES)
def test_each_runtimes_fine_tune(runtime: str) -> None:
    old, new = (lowered(runtime, network(1, noise)) for noise in (0.0, 1e-3))
    made = make_delta(old, new, with_zstd=False)
    assert made[0].codec == "tensor"
    assert len(made[0].data) < 0.7 * len(new)
    for one in made:
        assert applied(old, one.data) == new
    assert [one.data for one in made] == [one.data for one in make_delta(old, new, with_zstd=False)]


@pytest.mark.parametrize("kind", ["INT4", "INT8", "FLOAT16", "FLOAT", "INT64"])
def test_small_steps_of_each_type_cost_what_their_entropy_is(kind: str) -> None:
    """Rounded standard normal steps have 2.10 bits; 3 % and the patch's frame come on top."""
    old, new = weights(kind)
    best = make_delta(old, new, with_zstd=False)[0]
    assert applied(old, best.data) == new
    assert len(best.data) < 1.03 * 40_000 * 2.105 / 8 + 400


@pytest.mark.parametrize("runtime", registry.NAMES)
def test_tensors_are_found_where_the_weights_lie(runtime: str) -> None:
    artifact = lowered(runtime, network(1, 0.0))
    tensors = find_tensors(artifact)
    assert sum(tensor.length for tensor in tensors) >= 4 * (64 * 96 + 96 + 96 * 10 + 10)
    assert all(a.offset + a.length <= b.offset for a, b in itertools.pairwise(tensors))


@pytest.mark.parametrize("name", ["model/model.onnx", "model/model.tflite", "model/model.bin", "test_vectors/inputs/000.npy"])
def test_members_that_are_not_what_their_name_says_have_no_tensors(name: str) -> None:
    from edgewright.core import artifact_zip

    for data in (b"", b"\x3a\xff\xff", bytes(range(256)), b"\xff" * 64, b"\x00" * 64):
        assert find_tensors(artifact_zip.pack({name: data, "model/model.xml": b"<layer></layer>"})) == []


def test_a_new_head_costs_the_head() -> None:
    old = network(1, 0.0)
    new = old.replace(old[-400:-360], bytes(40))
    pair = lowered("onnxruntime", old), lowered("onnxruntime", new)
    best = make_delta(*pair, with_zstd=False)[0]
    assert applied(pair[0], best.data) == pair[1]
    assert len(best.data) < 0.02 * len(pair[1])


def test_files_on_the_disk_of_a_device(tmp_path: Path) -> None:
    old, new = weights("INT8")
    best = make_delta(old, new, with_zstd=False)[0]
    disk = RealDisk(tmp_path)
    disk.write("old", old)
    disk.write("patch", best.data)
    pieces: list[bytes] = []
    header = apply_delta(OnDisk(disk, "old"), OnDisk(disk, "patch"), pieces.append)
    assert b"".join(pieces) == new
    assert header == read_header(Memory(best.data))
    assert header.new_size == len(new)


def test_another_old_file_is_refused() -> None:
    old, new = weights("INT8")
    patch = make_delta(old, new, with_zstd=False)[0].data
    for other in (old[:-1], old[:-1] + b"!", old + b"!", b""):
        with pytest.raises(VerificationError, match="does not start from the artifact that is here"):
            applied(other, patch)


APPLY = """
import sys
for name in ("numpy", "bsdiff4", "zstandard", "tuf"):
    sys.modules[name] = None
import resource
from edgewright.fleet.delta.apply import apply_delta
from edgewright.fleet.delta.container import OnDisk
from edgewright.fleet.disk import RealDisk
from pathlib import Path
import hashlib, lzma, zlib
disk = RealDisk(Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open(Path(sys.argv[1]) / "new", "wb") as file:
    apply_delta(OnDisk(disk, "old"), OnDisk(disk, "patch"), file.write)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("kind", ["INT8", "FLOAT"])
def test_a_device_applies_it_in_8_mib_with_the_standard_library(kind: str, tmp_path: Path) -> None:
    old, new = weights(kind, size=600_000)
    patch = encode("tensor", old, new, by_tensors(old, new) or [])
    assert patch is not None
    (tmp_path / "old").write_bytes(old)
    (tmp_path / "patch").write_bytes(patch)
    done = subprocess.run([sys.executable, "-c", APPLY, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "new").read_bytes() == new
    assert int(done.stdout) <= 8 * 1024
