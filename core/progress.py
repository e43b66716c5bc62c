"""The seam between long work and whoever shows how far it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Moves one task on."""

    def __call__(self, units: int, /, said: str | None = None) -> None:
        """By that many units; `said` is what stands beside its name from now on (loss, metric)."""


class Progress(Protocol):
    """Shows tasks; `note` says one line that stays on the screen."""

    def task(self, name: str, total: int | None = None) -> AbstractContextManager[Advance]:
        """Context of one task; what it yields moves the task on."""

    def note(self, text: str) -> None:
        """One line that stays."""


class Silent:
    """Shows nothing."""

    @contextmanager
    def task(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """Do nothing."""
        yield _nothing

    def note(self, text: str) -> None:
        """Do nothing."""


def _nothing(units: int, /, said: str | None = None) -> None:
    pass
