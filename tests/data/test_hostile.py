"""Broken and hostile files are refused in one sentence, and nothing large is allocated for them."""

from __future__ import annotations

import contextlib
import io
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from edgewright.calibration.npz_stream import NpzLimits, open_npz
from edgewright.calibration.opening import open_dataset
from edgewright.core.errors import DataError, EdgewrightError, StoreError, TrustError


def refused(match: str, source: object, error: type[EdgewrightError] = DataError, **options: object) -> None:
    """Opening and reading `source` raises `error` with one sentence that says `match`."""
    with pytest.raises(error, match=match) as caught:
        open_dataset(source, **options).read([0])
    message = str(caught.value)
    assert message.endswith((".", "?"))
    assert ". " not in message.rstrip("."), message
    assert "\n" not in message


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode() + b"\n"
    length = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    return b"\x93NUMPY" + version + length + text + data


def archive(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def plain(value: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value)
    return buffer.getvalue()


def test_not_a_zip(tmp_path) -> None:
    (tmp_path / "d.npz").write_bytes(b"this is no archive")
    refused("not a .npz archive", tmp_path / "d.npz")
    (tmp_path / "d.npz").write_bytes(b"")
    refused("not a .npz archive", tmp_path / "d.npz")


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_truncated_npz(tmp_path, arrays, keep, save) -> None:
    save(tmp_path / "d.npz", **arrays)
    data = (tmp_path / "d.npz").read_bytes()
    (tmp_path / "d.npz").write_bytes(data[: int(len(data) * keep)])
    refused("truncated", tmp_path / "d.npz")


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_never_escape(tmp_path, seed) -> None:
    rng = np.random.default_rng(seed)
    save = np.savez if seed % 2 else np.savez_compressed
    save(tmp_path / "d.npz", x=rng.normal(size=(6, 4)), y=np.arange(6))
    data = bytearray((tmp_path / "d.npz").read_bytes())
    for place in rng.integers(0, len(data), 12):
        data[place] = rng.integers(0, 256)
    (tmp_path / "d.npz").write_bytes(data)
    with contextlib.suppress(EdgewrightError):
        opened = open_dataset(tmp_path / "d.npz")
        opened.read(range(len(opened)))


def test_pickles(tmp_path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 3)), y=np.array(["a", "b"], object))
    refused("--trust", tmp_path / "d.npz", TrustError)
    assert open_dataset(tmp_path / "d.npz", trust=True).read([1]).labels.tolist() == [1]
    np.save(tmp_path / "d.npy", np.array([{}, {}], object), allow_pickle=True)
    refused("--trust", tmp_path / "d.npy", TrustError)
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (ran.touch, ())

    np.savez(tmp_path / "evil.npz", x=np.array([Evil()], object))
    refused("--trust", tmp_path / "evil.npz", TrustError)
    assert not ran.exists()
    refused("objects", {"x": np.array([{}, 3], object)})


@pytest.mark.parametrize("name", ["../x.npy", "/etc/x.npy", "a/../../x.npy", "..\\x.npy", "C:x.npy"])
def test_paths_that_lead_outside(tmp_path, name) -> None:
    refused("outside", archive(tmp_path / "d.npz", {name: plain(np.zeros((2, 3)))}))


def test_odd_members(tmp_path) -> None:
    x = plain(np.zeros((2, 3)))
    refused("not an array", archive(tmp_path / "a.npz", {"x.txt": b"hello"}))
    refused("no valid .npy header", archive(tmp_path / "b.npz", {"x.npy": b"hello, world, hello"}))
    refused("compressed in a way", archive(tmp_path / "c.npz", {"x.npy": x}, zipfile.ZIP_LZMA))
    refused("holds no array", archive(tmp_path / "d.npz", {}))
    with zipfile.ZipFile(tmp_path / "e.npz", "w") as file:
        file.writestr("x.npy", x)
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("x.npy", x)
    refused("twice", tmp_path / "e.npz")
    many = archive(tmp_path / "f.npz", {f"a{index}.npy": x for index in range(5)})
    with pytest.raises(DataError, match="at most 4"):
        open_npz(many, limits=NpzLimits(members=4))


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 1000000), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999999, 9), }",
        "{'descr': '<f4', 'fortran_order': True, 'shape': (1000000, 1000000), }",
        "{'descr': '|S2000000000', 'fortran_order': False, 'shape': (7,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3.5), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 3000 + ", }",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }",
        "{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': 'nonsense', 'fortran_order': False, 'shape': (2,), }",
        "__import__('os').abort()",
    ],
)
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_hostile_headers(tmp_path, header, compression) -> None:
    path = archive(tmp_path / "d.npz", {"x.npy": npy(header, b"\0" * 8)}, compression)
    tracemalloc.start()
    try:
        refused(".", path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
    (tmp_path / "d.npy").write_bytes(npy(header, b"\0" * 8))
    refused(".", tmp_path / "d.npy")


def test_endless_header(tmp_path) -> None:
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }" + " " * (1 << 20)
    refused("no valid .npy header", archive(tmp_path / "d.npz", {"x.npy": npy(header, b"\0" * 4, b"\x02\x00")}))


def test_zip_bombs(tmp_path) -> None:
    shape = (64, 1 << 18)
    header = npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}")
    path = archive(tmp_path / "d.npz", {"x.npy": header + bytes(shape[0] * shape[1])}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match="unpacks to more"):
        open_npz(path, limits=NpzLimits(spool_bytes=1 << 20))
    # A directory that declares less than the member holds: no more than declared is unpacked.
    lying = path.read_bytes()
    small = struct.pack("<I", len(header) + 4)
    lying = lying.replace(struct.pack("<I", len(header) + shape[0] * shape[1]), small)
    (tmp_path / "lying.npz").write_bytes(lying)
    refused("damaged", tmp_path / "lying.npz")


def test_full_disk(tmp_path, monkeypatch) -> None:
    np.savez_compressed(tmp_path / "d.npz", x=np.zeros((4, 100)))
    monkeypatch.setattr("edgewright.calibration.spool.shutil.disk_usage", lambda _: SimpleNamespace(free=10))
    refused("has 10 free", tmp_path / "d.npz", StoreError)


def test_unwritable_cache(tmp_path, monkeypatch) -> None:
    np.savez_compressed(tmp_path / "d.npz", x=np.zeros((4, 100)))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path / "file" / "below"))
    refused("EDGEWRIGHT_CACHE", tmp_path / "d.npz", StoreError)


def test_wrong_lengths_and_names(tmp_path, arrays) -> None:
    refused("40 samples and 39 labels", {**arrays, "y": arrays["y"][:39]})
    refused("did you mean 'sex'", arrays, labels="sexx")
    refused("unknown array", arrays, inputs={"image": "picture"})
    refused("differ in length", {"a": np.zeros((3, 2)), "b": np.zeros((4, 2))}, inputs={"a": "a", "b": "b"})
    refused("no samples", {"x": np.zeros((0, 3))})
    refused("no array of numbers", {"name": np.array(["a", "b"])})
    refused("cannot feed", {"x": np.zeros((2, 3), complex)})
    refused("differing shape", {"x": [[1, 2], [3]]})
    refused("miss a name", {"x": np.zeros((2, 3)), "y": np.array(["a", ""])})


def test_paths(tmp_path) -> None:
    refused("no file or folder", tmp_path / "gone.npz")
    refused("not data that can be read", Path(__file__))
    refused("no file or folder", "nowhere")


def test_tables(tmp_path) -> None:
    def table(text: str | bytes, name: str = "t.csv") -> Path:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / name

    refused("cannot be read as a table", table(""))
    refused("no rows", table("a,b\n"))
    refused("cannot be read as a table", table('a,b\n1,2\n3,4,5\n"'))
    refused("cannot be read as a table", table(bytes(range(128, 256)) * 3))
    refused("without a name", table(",a\n0,1\n1,2\n"))
    refused("no numeric column", table("a,b\nx,y\nz,w\n"))
    refused("y and label", table("a,y,label\n1,0,0\n"))
    refused("unknown label column 'ys'; did you mean 'y'", table("a,y\n1,0\n"), labels="ys")
    refused("unknown feature column", table("a,y\n1,0\n"), inputs={"x": "b"})
    refused("is text", table("a,b,y\n1,q,0\n"), inputs={"x": "a,b"})
    refused("cannot be read as a table", table(b"PAR1 no parquet", "t.parquet"))
    import pandas as pd

    pd.DataFrame({"a": [[1], [2]], "y": [0, 1]}).to_parquet(tmp_path / "nested.parquet")
    refused("is of type", tmp_path / "nested.parquet")


def test_folders(tmp_path, image_folder, write_wav) -> None:
    (tmp_path / "empty" / "class").mkdir(parents=True)
    refused("neither images nor", tmp_path / "empty")
    refused("labels=names", image_folder, labels="names")
    refused("one input", image_folder, inputs={"a": "x", "b": "x"})
    write_wav(image_folder / "dog" / "bark.wav", np.zeros(4, "<i2"))
    refused("images and audio", image_folder)
    (image_folder / "dog" / "bark.wav").unlink()
    (image_folder / "dog" / "0.png").rename(image_folder / "0.png")
    refused("different depths", image_folder)


def _png(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    pieces = [(b"IHDR", head), (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in pieces
    )


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (_png(9000, 9000), "9000x9000 pixels"),
        (_png(60000, 60000), "pixels"),
        (_png(64, 64), "not an image"),
        (b"", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    ],
)
def test_images(image_folder, data, match) -> None:
    (image_folder / "ant" / "0.png").write_bytes(data)
    refused(match, image_folder)


def test_truncated_image(image_folder) -> None:
    path = image_folder / "ant" / "0.png"
    path.write_bytes(path.read_bytes()[:-60])
    refused("not an image", image_folder)


def test_audio(tmp_path, write_wav) -> None:
    root = tmp_path / "audio"
    good = write_wav(root / "a" / "1.wav", np.zeros(100, "<i2"))
    data = good.read_bytes()
    for broken in (
        b"",
        b"RIFF",
        data[:30],
        data[:60],
        data.replace(b"WAVE", b"EVAW"),
        data.replace(b"\x01\x00\x01\x00", b"\x01\x00\x00\x00", 1),
    ):
        good.write_bytes(broken)
        refused("write it anew|not a .wav", root)
    good.write_bytes(data.replace(struct.pack("<I", 200), struct.pack("<I", 0x7FFFFFF0)))
    refused("more than the file holds", root)
    write_wav(good, np.zeros(100, np.uint8), width=1)
    refused("8 bits", root)
    write_wav(good, np.zeros(0, "<i2"))
    refused("empty", root)
    write_wav(good, np.zeros(100, "<i2"))
    write_wav(root / "b" / "1.wav", np.zeros(100, "<i2"), rate=8000)
    with pytest.raises(DataError, match="8000 Hz"):
        open_dataset(root).read([0, 1])
