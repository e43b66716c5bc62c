"""Which widths a group may have: multiples that the target's kernels like, never so few that a small network is crippled."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...core.errors import PassError
from ...device_profiles.profile import DeviceProfile
from .places import Group

LEAST_SHARE = 0.1
_LEAST_UNITS = 2
_MOST_ALIGN = 256
# Without a profile: eight float32 lanes of AVX2, and the widths of XNNPACK's int8 kernels.
_DEFAULT_ALIGN = 8


@dataclass(frozen=True)
class Widths:
    """Widths that one group may have, ascending; the last is all of its units."""

    allowed: tuple[int, ...]

    @property
    def least(self) -> int:
        """The smallest."""
        return self.allowed[0]

    @property
    def units(self) -> int:
        """All units."""
        return self.allowed[-1]

    def nearest(self, width: float) -> int:
        """The allowed width closest to `width`, the larger of two that are as close."""
        return min(self.allowed, key=lambda item: (abs(item - width), -item))

    def below(self, width: int) -> tuple[int, ...]:
        """Allowed widths smaller than `width`, the largest first."""
        return tuple(item for item in reversed(self.allowed) if item < width)


def alignment(text: str, profile: DeviceProfile | None) -> int:
    """Channels that `align=TEXT` asks for: "profile" is the profile's `channel_align` (8 where there is none), or a number.

    Raises PassError.
    """
    if text == "profile":
        return _DEFAULT_ALIGN if profile is None else profile.channel_align
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_ALIGN:
        raise PassError(f"prune: align={text} is neither 'profile' nor a number from 1 to {_MOST_ALIGN}; correct that option.")
    return int(text)


def widths_of(group: Group, align: int, original: int | None = None, *, is_last: bool = True) -> Widths:
    """Widths that `group` may have when channels come in multiples of `align`.

    The step is `align` channels (fewer units where a unit is several channels, such as a head), halved until more than two
    steps fit into the group: 64 units with align 16 go by 16, 24 by 8, 16 by 4, 4 by 1. Where equal numbers must stay in every
    partition, it is a common multiple of that and the number of partitions. At least a tenth of the units stays, and at least
    two. `original` is how many units the group had before it was first pruned: both rules go by that.

    Before the last removal (`is_last`) two units stay in every partition that has them: a grouped convolution that reads one
    channel in each group is a depthwise one, whose outputs go with its inputs and are no group any more.
    """
    parts = 1 if group.partitions is None else len(np.unique(group.partitions))
    whole = original or group.units
    step = _step(whole, _channels_a_unit(group), align, parts)
    in_each = 1 if is_last else min(2, group.units // parts)
    least = max(parts * in_each, _LEAST_UNITS, math.ceil(LEAST_SHARE * whole))
    return Widths((*range(-(-least // step) * step, group.units, step), group.units))


def _step(units: int, channels: int, align: int, parts: int) -> int:
    """Units between two allowed widths."""
    wanted = align
    while True:
        step = math.lcm(wanted // math.gcd(wanted, channels), parts)
        if units > 2 * step or wanted == 1:
            return step
        wanted //= 2


def _channels_a_unit(group: Group) -> int:
    """Channels that each unit has where it is made."""
    made = next((place for place in group.weights if place.role == "makes"), None)
    return 1 if made is None else made.index.shape[1]
