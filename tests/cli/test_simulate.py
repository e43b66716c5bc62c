"""`edgewright simulate`: what it prints, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
BAD = ("--devices", "40", "--failure", "100%", "--canary", "8", "--off", "0%", "--power-cuts", "0%", "--loss", "0%")


def test_it_tells_that_a_bad_version_was_stopped_and_what_is_true_of_the_devices(edge: Run) -> None:
    answer = edge("simulate", *BAD, "--json")
    assert answer.code == 0, answer.err
    story = json.loads(answer.out)
    assert (story["state"], story["devices"], story["fails_on"], story["run"], story["untrue"]) == ("aborted", 40, 40, 0, 0)
    assert [(stage["size"], stage["assigned"]) for stage in story["stages"]] == [("8", 8)]
    assert 0 < story["served"] <= 8


def test_it_keeps_a_database_where_it_is_told_to_and_overwrites_none(edge: Run, tmp_path: Path) -> None:
    kept = ("--data", tmp_path / "kept")
    answer = edge("simulate", *BAD, *kept)
    assert answer.code == 0, answer.err
    assert "aborted; " in answer.out
    assert max(map(len, answer.out.splitlines())) < 200
    assert edge("server", "verify", *kept).code == 0
    again = edge("simulate", *BAD, *kept)
    assert again.code == 1
    assert "has a control plane's database already" in again.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--failure", "8"), "--failure '8' is no share"),
        (("--loss", "200%"), "--loss '200%' is no share"),
        (("--poll", "5"), "--poll '5' is no time"),
        (("--canary", "some"), "the stage 'some' cannot be read"),
        (("--canary", "50%", "--then", "5%"), "reaches nobody after"),
        (("--guard", "slow"), "the guard 'slow' cannot be read"),
        (("--to", "site ="), "the query cannot be read at character"),
        (("--fails-where", "("), "the query cannot be read at character"),
        (("--kind", "lazy"), "'lazy'"),
    ],
)
def test_what_cannot_be_rehearsed_is_one_sentence(edge: Run, arguments: tuple[str, ...], words: str) -> None:
    answer = edge("simulate", *arguments)
    assert answer.code == 1
    assert words in answer.err
    assert answer.err.count("\n") == 1


def test_help_shows_an_example(edge: Run) -> None:
    answer = edge("simulate", "--help")
    assert answer.code == 0
    assert "Example: edgewright simulate --devices 10000 --failure 8%" in answer.out
