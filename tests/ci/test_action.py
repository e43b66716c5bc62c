"""The steps of action.yml as they stand, in a scratch repository: what passes, and what each planted fault does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from ci_forge import Forge
from ci_repository import Change, Repository, harmless, inaccurate, large, slow
from ci_shell import Done, Shell
from edgewright.cli.main import main

FILE = Path(__file__).resolve().parents[2] / "action.yml"
RULES = "p50_ms > +100%\nsize > +50%\ntop1 < -2pt\n"


def run(shell: Shell, repository: Repository, forge: Forge, event: str = "pull_request", **inputs: str) -> Done:
    """A job of the action on what is checked out, against the base."""
    told = shell.folder / "event.json"
    base = {"number": 7, "base": {"sha": repository.base}}
    happened = {"pull_request": base} if event == "pull_request" else {"before": repository.base}
    told.write_text(json.dumps(happened))
    given = {"install": "none", "bench": "false", "fail-on": RULES, "data": "test.npz", **inputs}
    github = {"token": forge.token, "event": happened}
    variables = {
        "GITHUB_API_URL": forge.address,
        "GITHUB_EVENT_NAME": event,
        "GITHUB_EVENT_PATH": str(told),
        "GITHUB_REPOSITORY": "me/it",
    }
    return shell.action(FILE, repository.folder, given, github, variables)


def failures(file: Path) -> list[tuple[str, str]]:
    """(case, type) of what JUnit XML holds as failed."""
    cases = ElementTree.parse(file).iter("testcase")  # noqa: S314 - our own file
    return [(str(case.get("name")), str(found.get("type"))) for case in cases if (found := case.find("failure")) is not None]


def test_a_clean_change_passes_and_is_told_in_one_comment(shell: Shell, repository: Repository, forge: Forge) -> None:
    repository.change(harmless)
    done = run(
        shell,
        repository,
        forge,
        options="  --seconds=0\n",
        bench="true",
        history="history.sqlite",
        metric="agreement",
        publish="nowhere",
    )
    assert done.code == 0, done.printed
    assert list(done.printed) == ["Install", "Compile", "Gate", "Bench", "Base", "Compare", "Comment", "Verdict", "Publish"]
    assert done.printed["Publish"] == ""  # never from a pull request
    assert done.value == {"exit-code": "0", "artifacts": "dist", "reports": "edgewright-reports"}
    reports = repository.folder / "edgewright-reports"
    assert failures(reports / "gates.xml") == []
    assert failures(reports / "compare-digits-arm64-linux.xml") == []
    assert json.loads((reports / "bench.json").read_text())["schema"] == "edgewright-bench-1"
    assert done.summary == (reports / "comment.md").read_text() == forge.comments[0]["body"]
    assert "Edgewright: passed" in done.summary
    assert (repository.folder / "history.sqlite").exists()
    assert (reports / "trend.svg").exists()
    assert repository.git("worktree", "list").count("\n") == 0


def test_what_passes_on_a_branch_is_published(shell: Shell, repository: Repository, forge: Forge) -> None:
    repository.change(harmless)
    with pytest.raises(SystemExit):
        main(["repo", "init", str(shell.folder / "repo")])
    cheap = {"fail-on": "size > +2%", "options": "--seconds=0"}
    done = run(shell, repository, forge, event="push", publish=str(shell.folder / "repo"), **cheap)
    assert done.code == 0, done.printed
    assert "this job belongs to no pull request" in done.printed["Comment"]
    assert re.fullmatch(r"new +digits/\S+\.ewa .*\n", done.printed["Publish"])
    assert forge.asked == []


def test_a_base_that_is_named_must_be_there(shell: Shell, repository: Repository, forge: Forge) -> None:
    repository.change(harmless)
    done = run(shell, repository, forge, **{"base-ref": "--upload-pack=touch planted"})
    assert (done.code, list(done.printed)[-1]) == (1, "Base"), done.printed
    assert "::error::Edgewright: the base is neither here nor at origin" in done.printed["Base"]
    assert not list(repository.folder.rglob("planted"))


@pytest.mark.parametrize(("change", "figure"), [(inaccurate, "top1"), (slow, "p50_ms"), (large, "size")])
def test_a_planted_fault_fails_by_its_own_rule_alone(
    shell: Shell, repository: Repository, forge: Forge, change: Change, figure: str
) -> None:
    repository.change(change)
    # Timing is what takes long, and the clean change shows that it finds nothing where nothing is.
    rules = {} if figure == "p50_ms" else {"fail-on": RULES.split("\n", 1)[1], "options": "--seconds=0"}
    done = run(shell, repository, forge, **rules)
    assert (done.code, done.value["exit-code"], list(done.printed)[-1]) == (2, "2", "Verdict"), done.printed
    reports = repository.folder / "edgewright-reports"
    assert failures(reports / "gates.xml") == []  # as good as its own trained model: only the base tells
    (failed,) = failures(reports / "compare-digits-arm64-linux.xml")
    assert figure in failed[0]
    assert "Edgewright: failed" in done.summary
    assert [item["body"] for item in forge.comments] == [done.summary]
    assert figure in done.summary


def test_a_gate_that_fails_leaves_a_comment_and_junit_and_nothing_to_publish(
    shell: Shell, repository: Repository, forge: Forge
) -> None:
    repository.change(inaccurate)
    declaration = repository.folder / "edgewright.toml"
    declaration.write_text(declaration.read_text().replace("top1 >= -3pt", "top1 >= 99.9%"))
    done = run(shell, repository, forge, event="push", publish="nowhere")
    assert (done.code, list(done.printed)[-1]) == (2, "Verdict"), done.printed
    assert ("release", "failed") in failures(repository.folder / "edgewright-reports" / "gates.xml")
    assert "Nothing released" in done.summary
    assert "**failed**" in done.summary


def test_a_declaration_that_is_wrong_ends_at_once(shell: Shell, repository: Repository, forge: Forge) -> None:
    repository.change(harmless)
    (repository.folder / "edgewright.toml").write_text("modle = 1")
    done = run(shell, repository, forge)
    assert (done.code, list(done.printed)) == (1, ["Install", "Compile"])
    assert "did you mean 'model'?" in done.printed["Compile"]
    assert forge.asked == []


def test_no_step_holds_an_expression_and_every_variable_is_given() -> None:
    """An input's text inside a script would be run: inputs go through variables."""
    action: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
    for step in action["runs"]["steps"]:
        assert "${{" not in step["run"], step["name"]
        assert set(re.findall(r"EDGEWRIGHT_\w+", step["run"])) <= set(step["env"])


@pytest.mark.parametrize("nasty", ["$(touch planted)", "`touch planted`", '"; touch planted; "', "--help"])
def test_an_input_is_never_run(shell: Shell, repository: Repository, forge: Forge, nasty: str) -> None:
    repository.change(harmless)
    done = run(shell, repository, forge, declaration=nasty)
    assert done.code == 1, done.printed
    assert not list(repository.folder.rglob("planted"))
