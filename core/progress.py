"""The seam between long work and whoever shows how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Shows tasks; `note` says one line that stays on the screen."""

    def task(self, name: str, total: int | None = None) -> AbstractContextManager[Callable[[int], None]]:
        """Context of one task; the callable advances it by that many units."""

    def note(self, text: str) -> None:
        """One line that stays."""


class Silent:
    """Shows nothing."""

    @contextmanager
    def task(self, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Do nothing."""
        yield lambda _: None

    def note(self, text: str) -> None:
        """Do nothing."""
