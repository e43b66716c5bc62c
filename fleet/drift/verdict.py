"""What was judged of one window of an artifact's counts in a scope, as records that JSON keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Severity = Literal["minor", "moderate", "severe"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)  # in rising order


@dataclass(frozen=True)
class Compared:
    """A measure's counts in one window against its reference.

    `count` values were counted. `distance` is the Kolmogorov-Smirnov distance between the two distributions over the bins,
    within [`low`, `high`] by both samples' error; `psi` the population stability index. `p` is of this window alone, by Holm
    over the artifact's measures; it opens no alert. `log_e` is the logarithm of the wealth of the sequential test over all
    windows so far, and `is_alarm` whether that reached its bound: this alone opens one. `severity` is by `low` and by how many
    devices it reaches, None below the least. `last`, `day` and `week` are distances to the window before, and to those one day
    and one week before; None where there are none.
    """

    measure: str
    kind: str
    count: int
    distance: float
    low: float
    high: float
    psi: float
    p: float
    log_e: float
    is_alarm: bool
    severity: Severity | None = None
    last: float | None = None
    day: float | None = None
    week: float | None = None

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Compared:
        """Inverse of `dataclasses.asdict`."""
        return Compared(**value)


@dataclass(frozen=True)
class Estimated:
    """The accuracy that the counts of confidence make likely, with its interval, while inputs shift and the rest holds.

    It supposes calibrated confidence and that the same inputs have the same labels as before (covariate shift). `least` and
    `most` bound what is expected of such requests, without the chance of which of these are right; None in old windows.
    `doubt` says why the counts themselves make the estimate not to be believed, or is empty.
    """

    accuracy: float
    low: float
    high: float
    count: int
    least: float | None = None
    most: float | None = None
    doubt: str = ""

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Estimated:
        """Inverse of `dataclasses.asdict`."""
        return Estimated(**value)


@dataclass(frozen=True)
class Judged:
    """One window of one scope: `devices` that sent something, each measure's comparison, and the estimated accuracy if any."""

    devices: int
    measures: tuple[Compared, ...]
    accuracy: Estimated | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON object; numbers that are not finite become null."""
        return {
            "devices": self.devices,
            "measures": [_finite(asdict(item)) for item in self.measures],
            "accuracy": None if self.accuracy is None else _finite(asdict(self.accuracy)),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Judged:
        """Inverse of `to_json`."""
        told = value["accuracy"]
        return Judged(
            int(value["devices"]),
            tuple(Compared.from_json(item) for item in value["measures"]),
            None if told is None else Estimated.from_json(told),
        )


def _finite(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(item, float) and not math.isfinite(item) else item for key, item in value.items()}
