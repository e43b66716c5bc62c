"""Progress bars for people: on a terminal, for work that takes longer than a second, gone when it is done.

Everything goes to the error stream, so that what a command prints stays clean for pipes. Where the error stream is no
terminal there are no bars, only the notes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..core.progress import Advance, Silent
from ..optimizer.report.words import printable

SHOWN_AFTER_SECONDS = 1.0


class _LateBars(Progress):
    """rich's bars, of which only those that have run for a while are drawn."""

    def get_renderables(self) -> Iterable[RenderableType]:
        shown = [task for task in self.tasks if (task.elapsed or 0.0) >= SHOWN_AFTER_SECONDS]
        if shown:
            yield self.make_tasks_table(shown)


class RichProgress:
    """`core.progress.Progress` on a console. Tasks nest and may be opened from several threads.

    `is_quiet` drops the notes too (for --json and --quiet). `is_still` draws only when a task moves, with no thread in between,
    so that nothing runs beside what is being timed. When a task's block ends, also by Ctrl-C, its bar is taken away; with the
    last one the screen and the cursor are as before.
    """

    def __init__(self, console: Console | None = None, *, is_quiet: bool = False, is_still: bool = False) -> None:
        """Show on `console`, by default the error stream."""
        self._is_still = is_still
        self._console = console if console is not None else Console(stderr=True)
        self._is_quiet = is_quiet
        self._has_bars = self._console.is_terminal and not self._console.is_dumb_terminal and not is_quiet
        self._lock = Lock()
        self._open = 0
        self._bars = self._fresh()

    @contextmanager
    def task(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """Context of one task; what it yields moves it on. `total` None shows time only."""
        if not self._has_bars:
            with Silent().task(name, total) as advance:
                yield advance
            return
        title = printable(name)
        bars, task = self._begin(title, total)

        def advance_bar(units: int, /, said: str | None = None) -> None:
            bars.update(task, advance=units, description=None if said is None else f"{title}: {printable(said)}")
            if self._is_still:
                bars.refresh()

        try:
            yield advance_bar
        finally:
            self._end(bars, task)

    def note(self, text: str) -> None:
        """One line that stays, above any bars."""
        if not self._is_quiet:
            console = self._bars.console if self._has_bars else self._console
            console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def _begin(self, name: str, total: int | None) -> tuple[Progress, TaskID]:
        with self._lock:
            if self._open == 0:
                self._bars = self._fresh()
                self._bars.start()
            self._open += 1
            return self._bars, self._bars.add_task(name, total=total)

    def _end(self, bars: Progress, task: TaskID) -> None:
        with self._lock:
            bars.remove_task(task)
            self._open -= 1
            if self._open == 0:
                bars.stop()

    def _fresh(self) -> Progress:
        return _LateBars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
            refresh_per_second=5,
            auto_refresh=not self._is_still,
        )
