"""What examples are kept, and who agreed to it. The standard library only: the updater hands it to the workers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...core.errors import UsageError

FOLDER = "telemetry/samples"
MAY_LEAVE = ".upload.npz"  # how the names of samples end that may leave the device


@dataclass(frozen=True)
class Sampling:
    """What is kept. `consent` names who agreed; `below` is the confidence under which a sample is hard (0: none is).

    `share` of all samples are kept at random, whatever their confidence: what is to stand for all of them must be drawn so.
    `upload`: they were agreed to leave the device.

    `day_bytes` and `all_bytes` bound what lies on the disk; `redact` is a `module:function` that gets the arrays of a request
    by name (inputs [1, ...], outputs [1, ...]) and gives back those to keep, or None; `shadow` is the artifact whose answer is
    compared: another class is a disagreement.
    """

    consent: str
    below: float = 0.5
    day_bytes: int = 1 << 20
    all_bytes: int = 16 << 20
    redact: str | None = None
    shadow: str | None = None
    share: float = 0.0
    upload: bool = False

    def __post_init__(self) -> None:
        """Raise UsageError for what cannot be meant."""
        if not self.consent.strip():
            raise UsageError("samples are kept only where somebody agreed to it; name who did.")
        if not 0 <= self.below <= 1 or not math.isfinite(self.below):
            raise UsageError(f"samples below a confidence of {self.below} cannot be kept; give a share from 0 to 1.")
        if not 0 <= self.share <= 1 or not math.isfinite(self.share):
            raise UsageError(f"a share of {self.share} of all samples cannot be kept; give a share from 0 to 1.")
        if min(self.day_bytes, self.all_bytes) < 0:
            raise UsageError("the quota of samples is below zero bytes; give 0 or more.")
        if self.redact is not None and self.redact.count(":") != 1:
            raise UsageError(f"the redaction hook {self.redact!r} is not module:function.")
