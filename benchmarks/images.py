"""Natural images for the benchmarks: CIFAR-10's test images, enlarged."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format
from PIL import Image

_DEFAULT = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


def cifar10(count: int, size: int) -> Iterator[np.ndarray]:
    """The first `count` test images as uint8 [size, size, 3]; from the folder $EDGEWRIGHT_DATA."""
    with np.load(Path(os.environ.get("EDGEWRIGHT_DATA", _DEFAULT)) / "cifar10" / "test.npz") as archive:
        data, offsets = archive["jpeg"].tobytes(), archive["offsets"].tolist()
    for index in range(count):
        image = Image.open(io.BytesIO(data[offsets[index] : offsets[index + 1]])).convert("RGB")
        yield np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


def write_npz(path: Path, name: str, images: Iterator[np.ndarray], count: int, *, compressed: bool) -> None:
    """One array [count, ...] of uint8 in one .npz, written image by image."""
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with (
        zipfile.ZipFile(path, "w", method, compresslevel=1) as archive,
        archive.open(f"{name}.npy", "w", force_zip64=True) as member,
    ):
        for index, image in enumerate(images):
            if index == 0:
                header = {"descr": "|u1", "fortran_order": False, "shape": (count, *image.shape)}
                npy_format.write_array_header_1_0(member, header)
            member.write(image.tobytes())


def training_images(count: int, start: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """CIFAR-10's training images as uint8 [count, 32, 32, 3], and their classes, from image `start` on."""
    with np.load(Path(os.environ.get("EDGEWRIGHT_DATA", _DEFAULT)) / "cifar10" / "train.npz") as archive:
        data, offsets = archive["jpeg"].tobytes(), archive["offsets"].tolist()
        labels = archive["labels"][start : start + count].astype(np.int64)
    files = (io.BytesIO(data[offsets[i] : offsets[i + 1]]) for i in range(start, start + len(labels)))
    return np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files]), labels
