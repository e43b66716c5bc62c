"""`edgewright ci comment`: one comment of parts, written to GitHub or GitLab once and changed from then on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ci_forge import BOT, Forge
from click.testing import CliRunner, Result
from edgewright.cli.ci import ci
from edgewright.core.errors import DataError, NetworkError, UsageError

MARKER = "<!-- edgewright: edgewright -->"
Send = Callable[..., Result]


@pytest.fixture
def github(forge: Forge, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "event.json").write_text(json.dumps({"pull_request": {"number": 7}}))
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": forge.address,
        "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
        "GITHUB_REPOSITORY": "me/it",
        "GITHUB_TOKEN": forge.token,
        "GITLAB_CI": "",
    }


@pytest.fixture
def gitlab(forge: Forge) -> dict[str, str]:
    return {
        "GITHUB_ACTIONS": "",
        "GITLAB_CI": "true",
        "CI_API_V4_URL": forge.address,
        "CI_PROJECT_ID": "11",
        "CI_MERGE_REQUEST_IID": "7",
        "EDGEWRIGHT_GITLAB_TOKEN": forge.token,
    }


@pytest.fixture
def send(tmp_path: Path) -> Send:
    """`send(variables, text, *flags)`: post a comment of one part."""

    def run(variables: dict[str, str], text: str = "all good", *flags: str) -> Result:
        (tmp_path / "part.md").write_text(text)
        arguments = ["comment", str(tmp_path / "part.md"), "--out", str(tmp_path / "comment.md"), "--post", *flags]
        done = CliRunner().invoke(ci, arguments, env=variables)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


@pytest.mark.parametrize("which", ["github", "gitlab"])
@pytest.mark.parametrize("login", [None, {"login": "me", "username": "me", "type": "User"}])
def test_the_second_comment_takes_the_place_of_the_first(
    forge: Forge, send: Send, request: pytest.FixtureRequest, which: str, login: dict[str, str] | None
) -> None:
    if which == "gitlab" and login is None:
        login = {"username": "project_11_bot"}
    variables, forge.login = request.getfixturevalue(which), login
    for number in range(130):
        forge.add(f"comment {number}", {"login": "you", "username": "you", "type": "User"})
    assert "comment written" in send(variables, "first").output
    assert "comment changed" in send(variables, "second", "--exit-code", "2").output
    assert len(forge.comments) == 131
    assert forge.comments[-1]["body"] == f"{MARKER}\n### Edgewright: failed\n\nsecond\n"


def test_another_name_is_another_comment(forge: Forge, send: Send, github: dict[str, str]) -> None:
    send(github, "one")
    assert "comment written" in send(github, "other", "--name", "models/b --> c").output
    assert forge.comments[1]["body"].startswith("<!-- edgewright: models/b--c -->\n")


def test_what_somebody_else_wrote_is_left_as_it_is(forge: Forge, send: Send, github: dict[str, str]) -> None:
    forge.add(f"{MARKER} mine", {"login": "you", "type": "User"})
    forge.add(f"quoted: {MARKER}", BOT)
    assert "comment written" in send(github).output
    assert [item["body"] for item in forge.comments[:2]] == [f"{MARKER} mine", f"quoted: {MARKER}"]


@pytest.mark.parametrize(
    ("which", "change", "told"),
    [
        ("github", {"GITHUB_TOKEN": ""}, "there is no token (GITHUB_TOKEN)"),
        ("github", {"GITHUB_EVENT_PATH": "/nowhere"}, "this job belongs to no pull request"),
        ("gitlab", {"EDGEWRIGHT_GITLAB_TOKEN": ""}, "there is no token (EDGEWRIGHT_GITLAB_TOKEN)"),
        ("gitlab", {"CI_MERGE_REQUEST_IID": ""}, "this job belongs to no merge request"),
        ("gitlab", {"GITLAB_CI": ""}, "neither GitHub's CI nor GitLab's"),
    ],
)
def test_without_a_token_or_a_request_the_file_alone_is_written(
    forge: Forge, send: Send, request: pytest.FixtureRequest, tmp_path: Path, which: str, change: dict[str, str], told: str
) -> None:
    done = send({**request.getfixturevalue(which), **change})
    assert done.exit_code == 0
    assert told in done.output
    assert (tmp_path / "comment.md").read_text() == f"{MARKER}\n### Edgewright: passed\n\nall good\n"
    assert forge.asked == []


def test_a_token_that_may_not_write_is_told(forge: Forge, send: Send, github: dict[str, str]) -> None:
    with pytest.raises(NetworkError, match=r"GitHub refused to GET .*/comments.* with status 401; check that the token"):
        send({**github, "GITHUB_TOKEN": "other"})


def test_a_redirect_is_not_followed_with_the_token(forge: Forge, send: Send, github: dict[str, str]) -> None:
    forge.redirect = f"{forge.address}/elsewhere"
    with pytest.raises(NetworkError, match="status 302"):
        send(github)
    assert not any("elsewhere" in asked for asked in forge.asked)


@pytest.mark.parametrize("address", ["http://example.org", "file:///etc", "ftp://127.0.0.1"])
def test_a_token_goes_over_tls_alone(send: Send, github: dict[str, str], address: str) -> None:
    with pytest.raises(UsageError, match="is not https"):
        send({**github, "GITHUB_API_URL": address})


def test_a_part_that_does_not_fit_is_named(send: Send, github: dict[str, Any], tmp_path: Path) -> None:
    send(github, "x" * 70_000)
    assert (tmp_path / "comment.md").read_text().endswith("Too long for a comment, see the job's files: part.md.\n")


def test_parts_stand_under_their_names(tmp_path: Path) -> None:
    for name in ("gates.md", "compare-a_b.md"):
        (tmp_path / name).write_text(f"of {name}")
    done = CliRunner().invoke(ci, ["comment", str(tmp_path / "gates.md"), str(tmp_path / "compare-a_b.md"), "--exit-code", "1"])
    heading = f"{MARKER}\n### Edgewright: could not be judged"
    assert done.output == f"{heading}\n\nof gates.md\n\n#### compare-a&#95;b\n\nof compare-a_b.md\n"


def test_a_part_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = CliRunner().invoke(ci, ["comment", str(tmp_path / "none.md")])
    assert isinstance(done.exception, DataError)
    assert "none.md" in str(done.exception)
