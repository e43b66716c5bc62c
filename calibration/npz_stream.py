"""Streaming .npy and .npz files: headers are read and checked, rows by position, never the whole file, never a pickle.

The rules, in order:
1. the archive is a zip whose directory can be read, with at most `members` entries, no name twice, no path that leads outside;
2. members are stored or deflated, not encrypted;
3. a member's header is numpy's own, at most `header_bytes` long, without objects (unless trusted) and without structures;
4. the size that the header declares is exactly the size that the archive declares, and a stored member lies inside the file;
5. a deflated member is unpacked once, when first read, into a nameless file on disk, at most `spool_bytes` in all.
"""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from ..core.errors import DataError, TrustError
from .spool import FileRows, MemoryRows, Rows, in_c_order, spool_file, write_all

_COPY_BYTES = 1 << 18
# What numpy's parser raises on text that is no header.
_HEADER_ERRORS = (
    ValueError,
    TypeError,
    OverflowError,
    SyntaxError,
    MemoryError,
    RecursionError,
    tokenize.TokenError,
)
_LOCAL_HEADER = struct.Struct("<4s22xHH")


@dataclass(frozen=True)
class NpzLimits:
    """What an archive may ask for: entries, bytes of one header, bytes unpacked to disk, bytes of a trusted pickle."""

    members: int = 4096
    header_bytes: int = 64 << 10
    spool_bytes: int = 32 << 30
    object_bytes: int = 1 << 30


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]
    length: int

    @property
    def data_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def open_npy(path: Path, *, trust: bool = False, limits: NpzLimits | None = None) -> Rows:
    """Rows of one .npy file; raises DataError, and TrustError for pickled objects."""
    limits = limits or NpzLimits()
    file = _open(path)
    size = path.stat().st_size
    header = _read_header(file, str(path), limits)
    if header.dtype.hasobject:
        file.seek(0)
        return _objects(file, size, str(path), trust, limits)
    if header.length + header.data_bytes != size:
        raise DataError(
            f"{path} declares {header.data_bytes} bytes of data and holds {size - header.length}; "
            "the file is truncated or damaged, write it anew."
        )
    return _rows(file, header.length, header, str(path))


def open_npz(path: Path, *, trust: bool = False, limits: NpzLimits | None = None) -> dict[str, Rows]:
    """Arrays of a .npz file by name, in the archive's order; only headers are read. Raises DataError and TrustError."""
    limits = limits or NpzLimits()
    file = _open(path)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError, struct.error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a .npz archive or is truncated; write it anew with numpy.savez.") from error
    entries = archive.infolist()
    if len(entries) > limits.members:
        raise DataError(f"{path} has {len(entries)} members and at most {limits.members} are read; keep one array an input.")
    arrays: dict[str, Rows] = {}
    budget = limits.spool_bytes
    for entry in entries:
        where = f"member {entry.filename!r} of {path}"
        name = _member_name(entry, where)
        if name in arrays:
            raise DataError(f"{path} has the member {entry.filename!r} twice; write it anew with numpy.savez.")
        if entry.compress_type == zipfile.ZIP_DEFLATED:
            budget -= entry.file_size
        if budget < 0:
            raise DataError(f"{path} unpacks to more than {limits.spool_bytes} bytes; write it uncompressed with numpy.savez.")
        arrays[name] = _member(archive, entry, file, where, trust, limits)
    if not arrays:
        raise DataError(f"{path} holds no array; write one array a model input, or 'x', with numpy.savez.")
    return arrays


class _Unpacked:
    """Rows of a deflated member, unpacked when they are first asked for."""

    def __init__(self, header: _Header, unpack: Callable[[], Rows]) -> None:
        self._header = header
        self._unpack = unpack

    @property
    def shape(self) -> tuple[int, ...]:
        return self._header.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._header.dtype.newbyteorder("=")

    @cached_property
    def _rows(self) -> Rows:
        return self._unpack()

    def take(self, indices: Sequence[int]) -> NDArray[Any]:
        return self._rows.take(indices)


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}; check the path.") from error


def _member_name(entry: zipfile.ZipInfo, where: str) -> str:
    path = PurePosixPath(entry.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or ":" in entry.filename:
        raise DataError(f"{where} has a path that leads outside the archive; do not use this file.")
    if path.suffix != ".npy":
        raise DataError(f"{where} is not an array; a .npz holds .npy members only.")
    if entry.flag_bits & 0x1:
        raise DataError(f"{where} is encrypted; write it anew with numpy.savez.")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{where} is compressed in a way that numpy does not write; write it anew with numpy.savez.")
    return entry.filename[: -len(".npy")]


def _member(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, file: IO[bytes], where: str, trust: bool, limits: NpzLimits
) -> Rows:
    try:
        with archive.open(entry) as stream:
            header = _read_header(stream, where, limits)
        if header.dtype.hasobject:
            with archive.open(entry) as stream:
                return _objects(stream, entry.file_size, where, trust, limits)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError) as error:
        raise DataError(f"{where} is damaged; write the file anew with numpy.savez.") from error
    if header.length + header.data_bytes != entry.file_size:
        raise DataError(
            f"{where} declares shape {list(header.shape)} of {header.dtype}, {header.data_bytes} bytes, and holds "
            f"{entry.file_size - header.length}; the file is damaged or hostile, write it anew."
        )
    if entry.compress_type == zipfile.ZIP_STORED:
        offset = _data_offset(file, entry, where)
        return _rows(file, offset + header.length, header, where)
    return _Unpacked(header, lambda: _unpack(archive, entry, header, where))


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, header: _Header, where: str) -> Rows:
    spool = spool_file(entry.file_size, where)
    try:
        with archive.open(entry) as stream:
            stream.read(header.length)
            left = header.data_bytes
            while left:
                piece = stream.read(min(_COPY_BYTES, left))
                if not piece:
                    raise DataError(f"{where} ends before its last sample; the file is truncated, write it anew.")
                write_all(spool, np.frombuffer(piece, np.uint8), where)
                left -= len(piece)
            stream.read(1)  # the checksum is compared at the end
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{where} is damaged; write the file anew with numpy.savez.") from error
    spool.flush()
    return _rows(spool, 0, header, where)


def _data_offset(file: IO[bytes], entry: zipfile.ZipInfo, where: str) -> int:
    """Where a stored member's bytes begin: after its local header (PKWARE APPNOTE 4.3.7)."""
    file.seek(entry.header_offset)
    raw = file.read(_LOCAL_HEADER.size)
    if len(raw) != _LOCAL_HEADER.size or raw[:4] != b"PK\x03\x04":
        raise DataError(f"{where} has a damaged header; write the file anew with numpy.savez.")
    _, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(raw)
    offset: int = entry.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes
    file.seek(0, 2)
    if entry.compress_size != entry.file_size or offset + entry.file_size > file.tell():
        raise DataError(f"{where} reaches beyond the end of the file; the file is truncated, write it anew.")
    return offset


def _rows(file: IO[bytes], offset: int, header: _Header, where: str) -> Rows:
    if header.is_fortran and sum(size != 1 for size in header.shape) > 1 and header.data_bytes:
        return in_c_order(file, offset, header.shape, header.dtype, where)
    return FileRows(file, offset, header.shape, header.dtype, where)


def _read_header(stream: IO[bytes], where: str, limits: NpzLimits) -> _Header:
    try:
        version = npy_format.read_magic(stream)
        if version == (1, 0):
            shape, is_fortran, dtype = npy_format.read_array_header_1_0(stream, max_header_size=limits.header_bytes)
        elif version == (2, 0):
            shape, is_fortran, dtype = npy_format.read_array_header_2_0(stream, max_header_size=limits.header_bytes)
        else:
            raise DataError(f"{where} is of .npy version {version[0]}.{version[1]}; write plain arrays with numpy.save.")
        length = stream.tell()
    except _HEADER_ERRORS as error:
        raise DataError(f"{where} has no valid .npy header; write it anew with numpy.save.") from error
    if dtype.names is not None or dtype.subdtype is not None or dtype.kind == "V":
        raise DataError(f"{where} is a structured array; save one plain array a field.")
    if not shape:
        shape = (1,) if dtype.hasobject else ()
    if any(size < 0 for size in shape):
        raise DataError(f"{where} declares the negative shape {list(shape)}; the file is damaged, write it anew.")
    return _Header(tuple(int(size) for size in shape), bool(is_fortran), dtype, length)


def _objects(stream: IO[bytes], size: int, where: str, trust: bool, limits: NpzLimits) -> Rows:
    """A pickled array of objects, which can run code: only when trusted, as text."""
    if not trust:
        raise TrustError(
            f"{where} is a pickled array of objects, which can run code when read; "
            "save it with a plain type (strings as dtype str) or give --trust."
        )
    if size > limits.object_bytes:
        raise DataError(f"{where} is a pickle of {size} bytes; save it with a plain type.")
    try:
        array = npy_format.read_array(stream, allow_pickle=True)
    except Exception as error:  # a pickle may raise anything
        raise DataError(f"{where} cannot be unpickled ({type(error).__name__}); save it with a plain type.") from error
    return MemoryRows(np.asarray(array).astype(np.str_))
