"""When how much is removed: at once, or in steps that grow smaller."""

from __future__ import annotations

from typing import Literal

Schedule = Literal["one-shot", "iterative"]


def shares(schedule: Schedule, steps: int) -> tuple[float, ...]:
    """Shares of the whole removal that are done after each step, the last 1: cubic in the steps (1710.01878, equation 1)."""
    if schedule == "one-shot":
        return (1.0,)
    return tuple(cubic(step, steps) for step in range(1, steps + 1))


def cubic(step: int, steps: int) -> float:
    """Share that is done after `step` of `steps`: 1 - (1 - step / steps)^3, 1 from the last on."""
    return 1.0 - (1.0 - min(step, steps) / steps) ** 3
