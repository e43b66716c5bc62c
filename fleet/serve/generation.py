"""What the updater knows of serving: a generation, its health, its counts. The standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Generation:
    """A process that runs one artifact: `number` rises with every start of a model's worker, `sha256` is the artifact's.

    A worker that crashed and was started again keeps its number; its `pid` is another.
    """

    model: str
    number: int
    sha256: str
    pid: int


@dataclass(frozen=True)
class Health:
    """What a worker told of its artifact's test vectors: how many samples it ran, in what time, and why it failed."""

    passed: bool
    why: str
    samples: int
    p50_ms: float | None = None
    p99_ms: float | None = None

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Health:
        """Inverse of `dataclasses.asdict`; the value comes from a worker of this very package."""
        return Health(bool(value["passed"]), str(value["why"]), int(value["samples"]), value["p50_ms"], value["p99_ms"])


@dataclass(frozen=True)
class Statistics:
    """What a worker counted since its start.

    `latency_counts` has one count below each of the rising `latency_edges_ms`, then one above the last: one more than edges.
    `confidence` are counts in the artifact's own bins of confidence, `confidence_reference` the counts of compile time in the
    same bins; both are empty where the artifact has no such bins. `crashes` counts ends of the process that nobody asked for;
    what a crashed process had counted after it was last asked is lost.
    """

    requests: int
    errors: int
    crashes: int = 0
    latency_edges_ms: tuple[float, ...] = ()
    latency_counts: tuple[int, ...] = (0,)
    confidence: tuple[int, ...] = ()
    confidence_reference: tuple[int, ...] = ()

    def __add__(self, other: Statistics) -> Statistics:
        """Counts of two lives of one generation."""
        return Statistics(
            self.requests + other.requests,
            self.errors + other.errors,
            self.crashes + other.crashes,
            other.latency_edges_ms or self.latency_edges_ms,
            _sums(self.latency_counts, other.latency_counts),
            _sums(self.confidence, other.confidence),
            other.confidence_reference or self.confidence_reference,
        )

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Statistics:
        """Inverse of `dataclasses.asdict`; the value comes from a worker of this very package."""
        return Statistics(
            int(value["requests"]),
            int(value["errors"]),
            int(value["crashes"]),
            tuple(map(float, value["latency_edges_ms"])),
            tuple(map(int, value["latency_counts"])),
            tuple(map(int, value["confidence"])),
            tuple(map(int, value["confidence_reference"])),
        )


def _sums(one: tuple[int, ...], two: tuple[int, ...]) -> tuple[int, ...]:
    size = max(len(one), len(two))
    return tuple(a + b for a, b in zip(_padded(one, size), _padded(two, size), strict=True))


def _padded(counts: tuple[int, ...], size: int) -> tuple[int, ...]:
    return counts + (0,) * (size - len(counts))
