"""What the updater knows of serving: a generation, its health, its counts. The standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Upper edges of the latency bins in seconds, about 1.33 apart: 10 microseconds to 10 seconds; beyond lies a last bin.
LATENCY_EDGES_S: tuple[float, ...] = tuple(1e-5 * 10 ** (step / 8) for step in range(49))


@dataclass(frozen=True)
class Generation:
    """One worker process and the artifact that it serves: `sha256` of the file, `number` rising by model."""

    model: str
    number: int
    sha256: str
    pid: int


@dataclass(frozen=True)
class Health:
    """Outcome of the artifact's test vectors, run through a worker's own request path.

    `why` is one sentence. The latencies are seconds of one request by itself, None where nothing ran.
    """

    passed: bool
    why: str
    samples: int = 0
    p50_s: float | None = None
    p99_s: float | None = None


@dataclass(frozen=True)
class Statistics:
    """Counts of one generation since it started; of a worker that crashed, those before the crash are told as far as known.

    `latency` counts successful requests in the bins of `LATENCY_EDGES_S` (one more than edges), `confidence` holds the counts
    of the artifact's own bins by output. `dropped` requests were answered, but not counted in `confidence`: the queue was full.
    `crashes` are ends of the worker that nobody asked for.
    """

    requests: int = 0
    errors: int = 0
    latency: tuple[int, ...] = ()
    confidence: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    dropped: int = 0
    crashes: int = 0

    def quantile_s(self, share: float) -> float | None:
        """Upper edge of the bin that holds the given share of latencies, in seconds; None before the first success."""
        total = sum(self.latency)
        reached = 0
        for edge, count in zip((*LATENCY_EDGES_S, float("inf")), self.latency, strict=False):
            reached += count
            if total and reached >= share * total:
                return edge
        return None

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields."""
        return {
            "requests": self.requests,
            "errors": self.errors,
            "latency": list(self.latency),
            "confidence": {name: list(counts) for name, counts in self.confidence.items()},
            "dropped": self.dropped,
            "crashes": self.crashes,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Statistics:
        """Inverse of `to_json`; the value comes from a worker of this very package."""
        return Statistics(
            requests=int(value["requests"]),
            errors=int(value["errors"]),
            latency=tuple(map(int, value["latency"])),
            confidence={str(name): tuple(map(int, counts)) for name, counts in value["confidence"].items()},
            dropped=int(value["dropped"]),
            crashes=int(value["crashes"]),
        )
