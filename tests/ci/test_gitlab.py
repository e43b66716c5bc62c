"""The script of ci/gitlab.yml as it stands, in the same scratch repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml
from ci_forge import Forge
from ci_repository import Repository, harmless, large
from ci_shell import Shell

FILE = Path(__file__).resolve().parents[2] / "ci" / "gitlab.yml"
JOB: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))[".edgewright"]


def run(shell: Shell, repository: Repository, forge: Forge, **given: str) -> tuple[int, str]:
    """Exit code and output of the job's script on what is checked out, against the base."""
    variables = {
        **JOB["variables"],
        "EDGEWRIGHT_GITLAB_TOKEN": forge.token,
        "CI_API_V4_URL": forge.address,
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": repository.base,
        "CI_MERGE_REQUEST_IID": "7",
        "CI_PROJECT_ID": "11",
        "GITLAB_CI": "true",
        **given,
    }
    forge.login = {"username": "project_11_bot"}
    return shell.run("\n".join(JOB["script"]), repository.folder, variables)


def test_a_growth_fails_with_note_and_junit(shell: Shell, repository: Repository, forge: Forge) -> None:
    repository.change(large)
    code, told = run(
        shell, repository, forge, EDGEWRIGHT_BENCH="false", EDGEWRIGHT_OPTIONS="--seconds=0", EDGEWRIGHT_FAIL_ON="size > +50%"
    )
    assert code == 2, told
    root = ElementTree.parse(repository.folder / "edgewright-reports" / "compare-digits-arm64-linux.xml")  # noqa: S314 - our own
    assert len(list(root.iter("failure"))) == 1
    (note,) = forge.comments
    assert "Edgewright: failed" in note["body"]
    assert "size" in note["body"]


def test_a_wrong_declaration_ends_at_once(shell: Shell, repository: Repository, forge: Forge) -> None:
    repository.change(harmless)
    (repository.folder / "edgewright.toml").write_text("modle = 1")
    code, told = run(shell, repository, forge)
    assert (code, forge.asked) == (1, [])
    assert "did you mean 'model'?" in told


def test_the_job_keeps_what_the_script_writes() -> None:
    assert JOB["artifacts"]["when"] == "always"
    assert JOB["artifacts"]["reports"]["junit"] == "edgewright-reports/*.xml"
    assert JOB["rules"][0]["if"].endswith('"merge_request_event"')
