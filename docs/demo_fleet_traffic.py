"""Applications on the devices of a demo: each asks its own device what digit it sees, some times a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from demo_fleet_models import KNOWN, MODEL, Floats, digits
from edgewright.core.errors import EdgewrightError
from edgewright.fleet.serve.client import Client

A_SECOND = 10.0  # requests to each device
Ask = Callable[[np.random.Generator], tuple[Floats, int]]


def unknown_digits() -> Ask:
    """Digits that the models were not fitted to [1, 64], and what they are."""
    images, labels = digits()
    images, labels = images[KNOWN:], labels[KNOWN:]

    def ask(draw: np.random.Generator) -> tuple[Floats, int]:
        at = int(draw.integers(len(labels)))
        return images[at : at + 1], int(labels[at])

    return ask


class Traffic:
    """A thread for each socket, from `begin` to `end`. A device that serves nothing yet is asked nothing."""

    def __init__(self, sockets: Sequence[Path], ask: Ask, a_second: float = A_SECOND) -> None:
        """`ask` draws an input and its true class; so many requests a second go to each device."""
        self._next, self._a_second = ask, a_second
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._counts = {"right": 0, "wrong": 0, "failed": 0}
        self._threads = [
            threading.Thread(target=self._ask, args=(place, seed), daemon=True) for seed, place in enumerate(sockets)
        ]

    def begin(self) -> None:
        """Begin to ask."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Ask no more."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    @property
    def failed(self) -> int:
        """Requests without an answer."""
        return self._counts["failed"]

    @property
    def counts(self) -> dict[str, int]:
        """Answers that were right and wrong, and requests without one."""
        with self._lock:
            return dict(self._counts)

    def _ask(self, place: Path, seed: int) -> None:
        draw = np.random.default_rng(seed)
        with Client(place, MODEL, timeout_s=10.0) as client:
            while not self._is_over.wait(draw.uniform(0.5, 1.5) / self._a_second):
                if place.exists():
                    self._count(self._one(client, *self._next(draw)))

    def _one(self, client: Client, image: Floats, label: int) -> str:
        try:
            scores = client.infer({"x": image})["y"]
        except EdgewrightError:
            time.sleep(0.2)
            return "failed"
        return "right" if int(scores.argmax()) == label else "wrong"

    def _count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1
