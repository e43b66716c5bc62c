"""What a histogram counts of a tensor [n, ...], as text: `values`, `column 3`, `channel-mean 0`, `missing 3`, `class 1`.

    values            all of them together; of kind confidence and prediction one a sample
    column K          one a sample, of a tensor [n, columns]
    channel-mean K    mean of each sample's channel, of a tensor of rank 3 or 4; channel-std K its standard deviation
    mean, std         the same over all of a sample
    missing           share of a sample's values that are not finite; missing K: of its column, 0 or 1
    class K           confidence of the samples that were answered with that class

The numbers are made in `calibration.statistic`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import ArtifactError

VALUES, COLUMN, CHANNEL_MEAN, CHANNEL_STD = "values", "column", "channel-mean", "channel-std"
MEAN, STD, MISSING, CLASS = "mean", "std", "missing", "class"

_TEXT = re.compile(r"([a-z-]{1,12})(?: (0|[1-9][0-9]{0,3}))?", re.ASCII)
_PLACED = (COLUMN, CHANNEL_MEAN, CHANNEL_STD, CLASS)
_WHOLE = (VALUES, MEAN, STD)
# What can be counted of each kind of histogram.
_OF_KIND: Mapping[str, tuple[str, ...]] = {
    "input": (VALUES, COLUMN, CHANNEL_MEAN, CHANNEL_STD, MEAN, STD, MISSING),
    "output": (VALUES, COLUMN),
    "confidence": (VALUES, CLASS),
    "prediction": (VALUES,),
}


@dataclass(frozen=True)
class Statistic:
    """`name` is one of the words above, `place` the column, channel or class, None where it is of the whole tensor."""

    name: str
    place: int | None = None

    @staticmethod
    def parse(text: str, kind: str) -> Statistic:
        """Inverse of `str`; raises ArtifactError for what is none, or none of a histogram of that kind."""
        found = _TEXT.fullmatch(text)
        name, place = (found[1], found[2]) if found is not None else ("", None)
        is_known = name == MISSING or name in (_WHOLE if place is None else _PLACED)
        if not is_known or name not in _OF_KIND.get(kind, ()):
            raise ArtifactError(f"{text[:40]!r} is nothing that is counted of {kind} tensors; see docs/artifact.md.")
        return Statistic(name, None if place is None else int(place))

    def __str__(self) -> str:
        return self.name if self.place is None else f"{self.name} {self.place}"
