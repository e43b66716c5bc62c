"""Which devices come first: by chance, but the same for ever, so that nobody chooses and a restart changes nothing.

A device's place is HMAC-SHA256, keyed by the rollout and the plan's seed, of its name: as good as random, and another one in
each rollout, so that no device is always the canary.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Collection, Iterable

from .plan import Stage


def place_of(rollout: int, seed: int, device: str) -> float:
    """Place of a device in a rollout, in [0, 1)."""
    found = hmac.new(f"{rollout}:{seed}".encode(), device.encode(), hashlib.sha256).digest()
    return int.from_bytes(found[:6], "big") / 2**48


def in_order(rollout: int, seed: int, devices: Iterable[str]) -> list[str]:
    """Devices by their places."""
    return sorted(devices, key=lambda device: (place_of(rollout, seed, device), device))


def size_of(stage: Stage, population: int) -> int:
    """How many of so many devices a stage reaches, those of the stages before it included; at least one where there are any."""
    if stage.count is not None:
        return min(stage.count, population)
    return min(population, math.ceil(round(stage.share * population, 9)))


def joiners(stage: Stage, ordered: list[str], members: Collection[str]) -> list[str]:
    """Who joins as the stage begins: the first of its population, by place, that it reaches and who are not in yet."""
    return [device for device in ordered[: size_of(stage, len(ordered))] if device not in members]
