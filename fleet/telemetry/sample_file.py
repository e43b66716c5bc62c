"""The file of one kept example: an .npz that `numpy.load` reads, read here as what a stranger sent.

Its members are the request's arrays, `input.NAME` and `output.NAME`, and `__about__`, JSON in an array of bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core import artifact_arrays
from ...core.errors import ArtifactError, ProtocolError
from ..protocol.sample import ABOUT, MAX_SAMPLE_BYTES

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_PLAIN_BYTES = 64 << 20  # unpacked, of all arrays together
MAX_ARRAYS = 1000

_NPY = ".npy"
_BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError, EOFError, ValueError)


def pack(arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> bytes:
    """The file's bytes; raises ArtifactError for arrays that are no numbers."""
    described = np.frombuffer(json.dumps(about, sort_keys=True).encode(), np.uint8)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in {ABOUT: described, **arrays}.items():
            archive.writestr(zipfile.ZipInfo(name + _NPY), artifact_arrays.encode(array, name), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def unpack(data: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays and what is known about them; raises ProtocolError for anything that `pack` does not write."""
    if len(data) > MAX_SAMPLE_BYTES:
        raise ProtocolError(f"the sample has {len(data)} bytes, more than the {MAX_SAMPLE_BYTES} that one may have.")
    try:
        members = _members(data)
        about = json.loads(members.pop(ABOUT, np.empty(0, np.uint8)).tobytes())
    except ArtifactError as error:
        raise ProtocolError(str(error)) from error
    except (*_BROKEN, RecursionError) as error:
        raise ProtocolError(f"the sample is damaged: {error}.") from error
    if not isinstance(about, dict):
        raise ProtocolError("the sample's description is no object.")
    return members, about


def _members(data: bytes) -> dict[str, NDArray[Any]]:
    """Arrays by name. What a header tells of sizes is not believed: no more is unpacked than may be."""
    found: dict[str, NDArray[Any]] = {}
    room = MAX_PLAIN_BYTES
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        listed = archive.infolist()
        if len(listed) > MAX_ARRAYS:
            raise ProtocolError(f"the sample has {len(listed)} arrays, more than the {MAX_ARRAYS} that it may have.")
        for info in listed:
            with archive.open(info) as file:
                content = file.read(room + 1)
            room -= len(content)
            name = info.filename.removesuffix(_NPY)
            if room < 0 or name in found:
                raise ProtocolError("the sample has an array twice, or unpacks to more than it may.")
            found[name] = artifact_arrays.decode(content, name)
    return found
