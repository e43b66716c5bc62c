"""What makes two samples the same: digests of content, without regard to files, rows or names of a sole input."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.canonical import digest_json
from ..core.errors import DataError
from .dataset import Dataset, Split, chunks, is_partial, read_labels
from .preprocess import Preprocessing

_CHUNK_BYTES = 16 << 20
_SKETCH = 256
_ABOVE = "g"  # behind every hexadecimal digit


def hash_inputs(inputs: Mapping[str, NDArray[Any]]) -> Iterator[bytes]:
    """SHA-256 of each sample of inputs [n, ...]: type, shape and bytes, with the name where there are several inputs."""
    names = sorted(inputs)
    arrays = [np.ascontiguousarray(inputs[name]) for name in names]
    heads = [
        f"{name if len(names) > 1 else ''}|{array.dtype.newbyteorder('=').str}|{array.shape[1:]}|".encode()
        for name, array in zip(names, arrays, strict=True)
    ]
    for row in range(len(arrays[0])):
        state = hashlib.sha256()
        for head, array in zip(heads, arrays, strict=True):
            state.update(head)
            state.update(_row_bytes(array, row))
        yield state.digest()


def hash_record(content: bytes, parts: Mapping[str, Any]) -> bytes:
    """SHA-256 of a sample's content with its label and columns, each value as numpy gives it; raises DataError."""
    state = hashlib.sha256(content)
    for name in sorted(parts):
        value = np.asarray(parts[name])
        data = _text_bytes(name, str(value[()])) if value.dtype.kind in "USO" else value.dtype.str.encode() + value.tobytes()
        state.update(f"|{name}|{len(data)}|".encode())
        state.update(data)
    return state.digest()


def _text_bytes(name: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{name} has the text {text[:40]!a}, which is not Unicode; repair it.") from error


def digest_records(records: Sequence[bytes], declaration: Mapping[str, Any]) -> str:
    """Digest of a data set: its records in order, so that with it an index names one sample."""
    return digest_json({"records": _digest_all(records), "count": len(records), **declaration})


def content_digest(split: Split, columns: Mapping[str, NDArray[Any]]) -> str:
    """Digest of what a split is judged by, whatever the order and the file: shuffled data are the same data.

    That is inputs and labels of its samples, these `columns` [n] in the split's order, and the preprocessing; other columns do
    not count.
    """
    hashes = sample_hashes(split.data)
    parts = {f"column {name}": values for name, values in columns.items()}
    if split.data.has_labels:
        parts["label"] = read_labels(split.data, split.indices)
    records = sorted(
        hash_record(hashes[index], {name: values[row] for name, values in parts.items()})
        for row, index in enumerate(split.indices)
    )
    preprocessing = getattr(split.data, "preprocessing", None)
    declared = preprocessing.to_json() if isinstance(preprocessing, Preprocessing) else None
    return digest_records(records, {"preprocessing": declared})


def sketch(data: Dataset) -> tuple[str, ...]:
    """The 256 smallest hashes of the different samples, ascending, by inputs alone, as 16 hexadecimal digits each.

    What two such sketches have in common tells what the data have in common (bottom-k sketches, Broder 1997).
    """
    return tuple(sorted({content.hex()[:16] for content in sample_hashes(data)})[:_SKETCH])


def overlap(one: Sequence[str], other: Sequence[str]) -> float:
    """Share of the samples of the smaller of two data sets that the other has too, by their sketches; 0 where they cannot tell.

    The standard error at a half is 3 % for data of one size; data of which one is a hundred times the other may not be told.
    """
    # Up to the smaller of their largest hashes both sketches are complete.
    limit = min((sketch[-1] for sketch in (one, other) if len(sketch) == _SKETCH), default=_ABOVE)
    first, second = ({item for item in sketch if item <= limit} for sketch in (one, other))
    least = min(len(first), len(second))
    return len(first & second) / least if least else 0.0


def sample_hashes(data: Dataset) -> tuple[bytes, ...]:
    """SHA-256 of each sample's inputs; before preprocessing where the data set can tell."""
    if is_partial(data):
        return data.hashes()
    step = samples_a_chunk(sum(int(np.prod([size or 1 for size in spec.shape[1:]])) * 8 for spec in data.inputs))
    return tuple(made for piece in chunks(range(len(data)), step) for made in hash_inputs(data.read(piece).inputs))


def sample_records(data: Dataset) -> tuple[bytes, ...]:
    """SHA-256 of each sample with label and columns, where the data set can tell; else that of its inputs."""
    return data.records() if is_partial(data) else sample_hashes(data)


def samples_a_chunk(sample_bytes: int) -> int:
    """How many samples to read at a time, so that memory stays bounded."""
    return max(1, min(4096, _CHUNK_BYTES // max(1, sample_bytes)))


def _digest_all(records: Iterable[bytes]) -> str:
    state = hashlib.sha256()
    for record in records:
        state.update(record)
    return state.hexdigest()


def _row_bytes(array: NDArray[Any], row: int) -> bytes | memoryview:
    value = array[row]
    if array.dtype.kind in "USO":
        return "\0".join(str(item) for item in np.ravel(value)).encode()
    if array.ndim == 1 or not value.size:
        return bytes(value.tobytes())
    data: memoryview = value.reshape(-1).view(np.uint8).data
    return data
