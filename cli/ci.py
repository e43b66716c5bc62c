"""`edgewright ci`: what a CI job does beside compiling and measuring; action.yml and ci/gitlab.yml call it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ..core.errors import DataError
from ..core.files import write_atomic

_VERDICTS = {0: "passed", 2: "failed", 3: "undecided"}
_LONGEST = 60_000  # GitHub takes 65,536 characters


@click.group()
def ci() -> None:
    """Tell a CI what a compile and a comparison found.

    Example: edgewright ci gates dist/report.json --markdown gates.md --junit gates.xml
    """


@ci.command()
@click.argument("report", type=click.Path(path_type=Path))
@click.option("--markdown", type=click.Path(path_type=Path), help="File for a part of a comment.")
@click.option("--junit", type=click.Path(path_type=Path), help="File for JUnit XML.")
def gates(report: Path, markdown: Path | None, junit: Path | None) -> int:
    """Tell the verdicts of a compile's REPORT (report.json) as Markdown and as JUnit XML.

    Exit code, as the compile's: 0 released for every profile; 2: a gate failed; 3: undecided.

    Example: edgewright ci gates dist/report.json --markdown gates.md --junit gates.xml
    """
    from ..optimizer.gates.verdict import exit_code
    from ..optimizer.report.junit import gates_junit
    from ..optimizer.report.markdown import gates_markdown
    from ..optimizer.report.write import read_report

    found = read_report(report)
    if markdown is not None:
        write_atomic(markdown, gates_markdown(found).encode("utf-8", "replace"))
    if junit is not None:
        write_atomic(junit, gates_junit(found))
    for target in found.targets:
        click.echo(f"{target.profile}: {target.verdict}")
    return exit_code(target.verdict for target in found.targets)


@ci.command()
@click.argument("parts", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--exit-code", type=int, default=0, show_default=True, help="The job's, which the heading tells.")
@click.option("--name", default="edgewright", show_default=True, help="Which comment it is, where a job writes several.")
@click.option("--out", type=click.Path(path_type=Path), help="File for the comment; it is printed by default.")
@click.option("--post", is_flag=True, help="Write it to the pull or merge request, or change the one written before.")
def comment(parts: tuple[Path, ...], exit_code: int, name: str, out: Path | None, post: bool) -> None:
    """Join Markdown PARTS to one comment, and write it to the pull or merge request of this CI job.

    There is one comment for each name: a later job changes it. Where there is no request or no token (GITHUB_TOKEN,
    EDGEWRIGHT_GITLAB_TOKEN), that is told and nothing is sent.

    Example: edgewright ci comment gates.md compare-*.md --exit-code 2 --out comment.md --post
    """
    from .forges import forge_of

    marker = f"<!-- edgewright: {''.join(letter for letter in name if letter.isalnum() or letter in '._-/')} -->"
    told = f"{marker}\n### Edgewright: {_VERDICTS.get(exit_code, 'could not be judged')}\n\n{_joined(parts)}"
    if out is None:
        click.echo(told, nl=False)
    else:
        write_atomic(out, told.encode("utf-8", "replace"))
    if post:
        forge = forge_of(os.environ)
        done = f"comment not sent: {forge}" if isinstance(forge, str) else f"comment {forge.write(told, marker)}"
        click.echo(done, err=True)


def _joined(parts: tuple[Path, ...]) -> str:
    """All parts, each after the first under its file's name, or as many as fit whole and a line that tells what is left out.

    Raises DataError.
    """
    from ..optimizer.report.markdown import escaped

    shown: list[str] = []
    for place, part in enumerate(parts):
        try:
            text = part.read_text("utf-8").strip() + "\n"
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read {part} as text: {error}; give a Markdown file.") from error
        if place:
            text = f"#### {escaped(part.stem)}\n\n{text}"
        if sum(map(len, shown)) + len(text) > _LONGEST:
            left = ", ".join(escaped(item.name) for item in parts[place:])
            return "\n".join([*shown, f"Too long for a comment, see the job's files: {left}.\n"])
        shown.append(text)
    return "\n".join(shown)
