"""What calibration knows of each tensor, and its stored form."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.counts import Counts
from ..core.errors import DataError, UsageError, unknown

_EARLIEST = (1980, 1, 1, 0, 0, 0)
_MEMBERS = ("names", "numbers", "integers", "counts", "channel_means")


@dataclass(frozen=True, eq=False)
class TensorStatistics:
    """Of one tensor over all samples: of its finite values the number, extremes, mean and histogram; how many are infinite.

    `channel_means` [channels] are the means along axis 1, or None where nobody asked for them.
    """

    name: str
    count: int
    infinite: int
    minimum: float
    maximum: float
    mean: float
    histogram: Counts
    channel_means: NDArray[np.float64] | None = None


class Statistics(Mapping[str, TensorStatistics]):
    """Statistics of tensors by name, in a fixed order."""

    def __init__(self, tensors: Mapping[str, TensorStatistics]) -> None:
        """Hold `tensors`."""
        self._tensors = dict(tensors)

    def __getitem__(self, name: str) -> TensorStatistics:
        """The tensor's statistics; raises UsageError when it was not collected."""
        if name not in self._tensors:
            raise UsageError(unknown("calibrated tensor", name, self._tensors))
        return self._tensors[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The tensor's statistics, or `default`."""
        return self._tensors.get(name, default)

    def __contains__(self, name: object) -> bool:
        """Whether the tensor was collected."""
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        """Names in order."""
        return iter(self._tensors)

    def __len__(self) -> int:
        """Number of tensors."""
        return len(self._tensors)

    def to_bytes(self) -> bytes:
        """An .npz file; equal statistics give equal bytes."""
        tensors = list(self._tensors.values())
        means = [np.zeros(0) if t.channel_means is None else t.channel_means for t in tensors]
        grids = [t.histogram for t in tensors]
        arrays: dict[str, NDArray[Any]] = {
            "names": np.frombuffer("\0".join(t.name for t in tensors).encode(), np.uint8),
            "numbers": np.array([(t.minimum, t.maximum, t.mean) for t in tensors], np.float64).reshape(-1, 3),
            "integers": np.array(
                [
                    (t.count, t.infinite, g.bins, g.exponent, g.first, len(g.counts), -1 if t.channel_means is None else m.size)
                    for t, g, m in zip(tensors, grids, means, strict=True)
                ],
                np.int64,
            ).reshape(-1, 7),
            "counts": np.array([count for g in grids for count in g.counts], np.int64),
            "channel_means": np.concatenate([np.zeros(0), *means]),
        }
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name in _MEMBERS:
                member = io.BytesIO()
                np.lib.format.write_array(member, arrays[name], allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{name}.npy", _EARLIEST), member.getvalue())
        return file.getvalue()

    @staticmethod
    def from_bytes(data: bytes) -> Statistics:
        """Inverse of `to_bytes`; raises DataError on anything else."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in _MEMBERS}
            names = arrays["names"].tobytes().decode().split("\0") if arrays["names"].size else []
            return Statistics({t.name: t for t in _unpack(names, arrays)})
        except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as error:
            raise DataError("the stored calibration statistics are damaged; remove them and calibrate again.") from error


def _unpack(names: list[str], arrays: Mapping[str, NDArray[Any]]) -> Iterator[TensorStatistics]:
    at = means_at = 0
    for name, (minimum, maximum, mean), integers in zip(
        names, arrays["numbers"].tolist(), arrays["integers"].tolist(), strict=True
    ):
        count, infinite, bins, exponent, first, length, channels = integers
        counts = Counts(bins, exponent, first, tuple(arrays["counts"][at : at + length].tolist()))
        means = arrays["channel_means"][means_at : means_at + max(channels, 0)]
        if counts.total != count or means.size != max(channels, 0):
            raise ValueError(name)
        yield TensorStatistics(name, count, infinite, minimum, maximum, mean, counts, means if channels >= 0 else None)
        at, means_at = at + length, means_at + max(channels, 0)
