"""Folders of images: decoded when read, as RGB bytes [h, w, 3]."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.canonical import digest_file
from ...core.errors import DataError
from ...core.executor import TensorSpec
from .files import FileSource

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
# No format of Pillow's that starts another program or reads another file.
_FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_LARGEST_PIXELS = 1 << 26


class ImageSource(FileSource):
    """One image a sample; its content is its file, so an image that was encoded again counts as another."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Sizes differ between files, until preprocessing makes them equal."""
        return (TensorSpec(self._name, "uint8", (None, None, None, 3)),)

    def decode(self, path: Path) -> NDArray[Any]:
        """RGB bytes [h, w, 3]; raises DataError on a damaged file and on one of more than 67 million pixels."""
        from PIL import Image

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                with Image.open(path, formats=_FORMATS) as image:
                    width, height = image.size
                    if width * height > _LARGEST_PIXELS:
                        raise DataError(
                            f"{path} has {width}x{height} pixels, more than {_LARGEST_PIXELS}; shrink or remove it."
                        )
                    return np.asarray(image.convert("RGB"))
        except Image.DecompressionBombError as error:
            raise DataError(f"{path} has more than {_LARGEST_PIXELS} pixels; shrink or remove it.") from error
        # Pillow's decoders raise many kinds on damaged bytes.
        except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, OverflowError, MemoryError) as error:
            raise DataError(f"{path} is not an image that can be decoded; write it anew or remove it.") from error

    def hash(self, path: Path) -> bytes:
        """SHA-256 of the file."""
        try:
            return bytes.fromhex(digest_file(path))
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror or error}; check the folder.") from error
