"""What all simulated devices share."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .link import Link
from .scenario import Scenario
from .timeline import Timeline


@dataclass(frozen=True)
class World:
    """Virtual time, the way to the server, what is rehearsed, and the one source of chance."""

    timeline: Timeline
    link: Link
    scenario: Scenario
    draw: random.Random
