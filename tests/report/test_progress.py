from __future__ import annotations

import io
import threading
import time

import pytest
from edgewright.cli import progress
from edgewright.cli.progress import RichProgress
from edgewright.core.progress import Progress
from rich.console import Console

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


def _terminal() -> tuple[io.StringIO, Console]:
    stream = io.StringIO()
    return stream, Console(file=stream, force_terminal=True, width=80, color_system=None, _environ={"TERM": "xterm"})


def _wait_for(stream: io.StringIO, text: str) -> None:
    """Until the drawing thread has written `text`."""
    for _ in range(500):
        if text in stream.getvalue():
            return
        time.sleep(0.02)
    pytest.fail(f"{text!r} never appeared in {stream.getvalue()!r}")


def test_a_pipe_gets_notes_and_no_bars() -> None:
    stream = io.StringIO()
    shown: Progress = RichProgress(Console(file=stream, width=80))
    with shown.task("calibrate", 3) as advance:
        advance(1)
        shown.note("the gate needs 268 samples [bold]")
    assert stream.getvalue() == "the gate needs 268 samples [bold]\n"


def test_quiet_shows_nothing() -> None:
    stream, console = _terminal()
    shown = RichProgress(console, is_quiet=True)
    with shown.task("calibrate", 3) as advance:
        advance(3)
        shown.note("nothing")
    assert stream.getvalue() == ""


def test_a_still_bar_draws_when_a_task_moves_and_runs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SHOWN_AFTER_SECONDS", 0.0)
    stream, console = _terminal()
    before = threading.active_count()
    with RichProgress(console, is_still=True).task("measuring", 3) as advance:
        drawn = stream.getvalue()
        assert threading.active_count() == before
        advance(2)
        assert "measuring" in stream.getvalue()[len(drawn) :]
        assert "2/3" in stream.getvalue()
    assert SHOW in stream.getvalue()


def test_short_work_shows_no_bar() -> None:
    stream, console = _terminal()
    with RichProgress(console).task("calibrate", 3) as advance:
        advance(3)
    assert "calibrate" not in stream.getvalue()


def test_long_work_shows_its_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SHOWN_AFTER_SECONDS", 0.0)
    stream, console = _terminal()
    shown = RichProgress(console)
    with shown.task("calibrate [red]", 4) as advance, shown.task("inner\x1b[2J\n") as step:
        advance(2)
        step(1)
        _wait_for(stream, "2/4")
    text = stream.getvalue()
    assert "calibrate [red]" in text
    assert "2/4" in text
    assert "inner�[2J" in text


def test_a_task_tells_what_it_is_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SHOWN_AFTER_SECONDS", 0.0)
    stream, console = _terminal()
    with RichProgress(console).task("train", 100) as advance:
        advance(10, said="epoch 1 of 10, loss 0.31")
        _wait_for(stream, "train: epoch 1 of 10, loss 0.31")
        advance(10)
        _wait_for(stream, "20/100")
    assert "loss 0.31" in stream.getvalue().rsplit("20/100", 1)[0].rsplit("\n", 1)[-1]


def test_the_screen_is_given_back_after_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SHOWN_AFTER_SECONDS", 0.0)
    stream, console = _terminal()
    shown = RichProgress(console)
    with pytest.raises(KeyboardInterrupt), shown.task("outer", 2), shown.task("inner", 2):
        raise KeyboardInterrupt
    text = stream.getvalue()
    assert text.rindex(SHOW) > text.rindex(HIDE)
    with shown.task("again", 1):
        _wait_for(stream, "again")


def test_threads_share_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SHOWN_AFTER_SECONDS", 0.0)
    stream, console = _terminal()
    shown = RichProgress(console)

    def work(name: str) -> None:
        with shown.task(name, 20) as advance:
            for _ in range(20):
                advance(1)

    threads = [threading.Thread(target=work, args=(f"task {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stream.getvalue().count(SHOW) == stream.getvalue().count(HIDE)
