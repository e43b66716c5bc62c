"""Samples for training: decoded once, shuffled by seed, read one batch ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from ...calibration.dataset import Batch, Split, read_labels
from ...calibration.spool import MemoryRows, Rows, RowWriter
from ...core.canonical import digest_json
from ...core.errors import DataError
from ...core.progress import Progress
from .objective import Samples

MEMORY_BYTES = 1 << 30  # decoded samples of one split up to here stay in memory, more of them on disk
_READ_SAMPLES = 64

_opened: WeakKeyDictionary[Split, TrainingData] = WeakKeyDictionary()


class TrainingData:
    """The samples of a split, preprocessed and decoded: in memory up to MEMORY_BYTES, else in a spool file.

    `rows` has a `Rows` [n, ...] for each model input; `labels` is [n, ...] or None.
    """

    def __init__(self, split: Split, progress: Progress) -> None:
        """Read every sample once; raises DataError where they are texts or differ in shape."""
        self.name = split.name
        self.rows = _decoded(split, progress)
        self.is_in_memory = all(isinstance(rows, MemoryRows) for rows in self.rows.values())
        self.labels = np.asarray(read_labels(split.data, split.indices)) if split.data.has_labels else None

    def __len__(self) -> int:
        """Number of samples."""
        return next(iter(self.rows.values())).shape[0]

    def take(self, places: NDArray[np.int64]) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """Inputs [k, ...] and labels [k, ...] at `places`, on the CPU."""
        asked = places.tolist()
        inputs = {name: torch.from_numpy(rows.take(asked)) for name, rows in self.rows.items()}
        return inputs, None if self.labels is None else torch.from_numpy(self.labels[places])

    def in_order(self, size: int, device: torch.device) -> Iterator[Samples]:
        """The samples in order, `size` at a time."""
        for start in range(0, len(self), size):
            places = np.arange(start, min(start + size, len(self)), dtype=np.int64)
            yield samples(self, places, *self.take(places), device)


def opened(split: Split, progress: Progress) -> TrainingData:
    """The data of a split, kept as long as the split is, so that one pipeline decodes once."""
    if split not in _opened:
        _opened[split] = TrainingData(split, progress)
    return _opened[split]


def split_digest(split: Split | None) -> str | None:
    """SHA-256 of what a split holds, in its order."""
    return None if split is None else digest_json([split.data.digest, list(split.indices)])


class Order:
    """Which samples each step sees: a fresh permutation an epoch, drawn from seed and epoch alone.

    The samples that do not fill a last batch wait for the next epoch's permutation; with fewer than one batch all are one.
    """

    def __init__(self, count: int, batch: int, seed: int) -> None:
        """Of `count` samples, `batch` (or all, where there are fewer) at a time."""
        self._count, self._seed = count, seed
        self.batch = min(batch, count)
        self.steps_per_epoch = count // self.batch
        self._epoch = -1
        self._permutation: NDArray[np.int64] = np.zeros(0, np.int64)

    def places(self, step: int) -> NDArray[np.int64]:
        """Places [batch] of the samples of `step`."""
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            generator = np.random.default_rng([self._seed, epoch])
            self._epoch, self._permutation = epoch, generator.permutation(self._count)
        return self._permutation[index * self.batch : (index + 1) * self.batch]


Augment = Callable[[dict[str, torch.Tensor], torch.Generator], dict[str, torch.Tensor]]


def shuffled(
    data: TrainingData, order: Order, steps: Sequence[int], seed: int, augment: Augment | None, device: torch.device
) -> Iterator[Samples]:
    """The batches of `steps`; where reading waits for a disk, or computing for a GPU, the next is read while one is used."""

    def read(step: int) -> Samples:
        places = order.places(step)
        inputs, labels = data.take(places)
        if augment is not None:
            inputs = augment(inputs, torch.Generator().manual_seed(mixed(seed, step)))
        return samples(data, places, inputs, labels, device, is_plain=augment is None)

    if data.is_in_memory and device.type == "cpu":
        yield from map(read, steps)
        return
    with ThreadPoolExecutor(1) as reader:
        waiting = reader.submit(read, steps[0]) if steps else None
        for following in (*steps[1:], None):
            if waiting is not None:
                batch = waiting.result()
                waiting = None if following is None else reader.submit(read, following)
                yield batch


def samples(
    data: TrainingData,
    places: NDArray[np.int64],
    inputs: dict[str, torch.Tensor],
    labels: torch.Tensor | None,
    device: torch.device,
    *,
    is_plain: bool = True,
) -> Samples:
    """A batch on `device`; images lie with their channels last in memory, which convolutions prefer."""
    moved = {name: _in_place(tensor.to(device, non_blocking=True)) for name, tensor in inputs.items()}
    where = torch.from_numpy(places).to(device)
    return Samples(moved, None if labels is None else labels.to(device), where, data, is_plain)


def mixed(seed: int, step: int) -> int:
    """A seed for one step, which that of no other step resembles."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _in_place(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _decoded(split: Split, progress: Progress) -> dict[str, Rows]:
    """Every sample of `split`, in its order."""
    first = split.data.read(split.indices[:1])
    for name, array in first.inputs.items():
        if array.dtype.kind not in "biuf":
            raise DataError(f"the input {name!r} is of type {array.dtype}, which cannot be trained on; give numbers.")
    row_bytes = sum(array.nbytes for array in first.inputs.values())
    where = f"the {split.name} split"
    with progress.task(f"reading {where}", len(split)) as advance:
        if row_bytes * len(split) <= MEMORY_BYTES:
            held = {name: np.empty((len(split), *array.shape[1:]), array.dtype) for name, array in first.inputs.items()}
            start = 0
            for batch in _pieces(split, first):
                for name, array in batch.inputs.items():
                    held[name][start : start + len(array)] = array
                start += len(batch.indices)
                advance(len(batch.indices))
            return {name: MemoryRows(array) for name, array in held.items()}
        writers = {
            name: RowWriter(array.shape[1:], array.dtype, where, array.nbytes * len(split))
            for name, array in first.inputs.items()
        }
        for batch in _pieces(split, first):
            for name, array in batch.inputs.items():
                writers[name].write(array)
            advance(len(batch.indices))
        return {name: writer.rows() for name, writer in writers.items()}


def _pieces(split: Split, first: Batch) -> Iterator[Batch]:
    for batch in split.batches(_READ_SAMPLES):
        for name, array in batch.inputs.items():
            if array.shape[1:] != first.inputs[name].shape[1:]:
                raise DataError(
                    f"samples of {name!r} have shapes {list(first.inputs[name].shape[1:])} and {list(array.shape[1:])}; "
                    "give all one shape to train on them."
                )
        yield batch
