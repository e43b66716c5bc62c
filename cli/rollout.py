"""`edgewright rollout`: a new version to many devices, a stage at a time, each stage a test."""

from __future__ import annotations

import textwrap
import time
from typing import TYPE_CHECKING, Any

import click

from ..core.canonical import dumps
from .amounts import seconds, share
from .remote import Remote, remote
from .table import WIDTH, since, table

if TYPE_CHECKING:
    from ..fleet.rollout.plan import Stage

_ENDED = ("completed", "aborted")
_WATCH_S = 2.0
_COUNTS = ("assigned", "good", "bad", "silent", "pending", "to_assign")


@click.group()
def rollout() -> None:
    """Bring a version to devices in stages; each stage is a test that can be looked at at any time, and stops what is bad.

    Example: edgewright rollout create digits --version 4 --to 'profile = raspberry-pi-4b' --canary 5% --then 25%
    """


@rollout.command()
@click.argument("model")
@click.option("--version", type=click.IntRange(1), required=True, help="The version of the model in the signed repository.")
@click.option("--to", "query", default="", metavar="QUERY", help="Which devices; all by default.")
@click.option("--canary", required=True, metavar="STAGE", help="The first stage: 5%, 20 (devices), '5% of QUERY'.")
@click.option("--then", "stages", multiple=True, metavar="STAGE", help="A next stage, with those before it; all is the last.")
@click.option("--allowed", help="Share of devices that may fail.  [3%]")
@click.option("--unacceptable", help="Share that must be ruled out before the next stage.  [10%]")
@click.option("--alpha", help="Probability of a wrong decision of each kind, at most.  [5%]")
@click.option(
    "--guard", "guards", multiple=True, help="Against the version before: 'errors <= +1pt', 'slow <= +5pt to promote'."
)
@click.option("--observe", help="How long a device is looked at before it counts as good.  [1h]")
@click.option("--silent", help="After what time a device that says nothing counts as silent.  [1d]")
@click.option("--window", "windows", multiple=True, help="When devices may be assigned: 'Sat,Sun 02:00-05:00 UTC'.  [always]")
@click.option("--approve", "needs_approval", is_flag=True, help="A person lets each next stage begin.")
@click.option(
    "--undecided",
    type=click.Choice(["pause", "promote"]),
    help="When all devices of a stage answered and the test has not decided.  [pause]",
)
@click.option("--rate", type=click.IntRange(1), help="Devices that are assigned in a minute, at most.  [all at once]")
@click.option("--deadline", help="How long an update of a device may take.  [no bound]")
@click.option("--seed", type=click.IntRange(0), help="Draws other canaries.  [0]")
@click.option("--preview", is_flag=True, help="Only tell how many devices each stage would reach, and who is left out.")
@remote
def create(
    server: Remote,
    as_json: bool,
    model: str,
    version: int,
    query: str,
    canary: str,
    stages: tuple[str, ...],
    allowed: str | None,
    unacceptable: str | None,
    alpha: str | None,
    guards: tuple[str, ...],
    observe: str | None,
    silent: str | None,
    windows: tuple[str, ...],
    needs_approval: bool,
    undecided: str | None,
    rate: int | None,
    deadline: str | None,
    seed: int | None,
    preview: bool,
) -> None:
    """Begin to bring a version of MODEL to devices.

    \b
    Example: edgewright rollout create digits --version 4 --canary 5% --then 25%
    Example: edgewright rollout create digits --version 4 --to 'site = lab' --canary 3 --guard 'errors <= +1pt'
    """
    from ..fleet.rollout.plan import Stage

    made = [_stage(item) for item in (canary, *stages)]
    if made[-1] != Stage():
        made.append(Stage())
    given = {
        "allowed": None if allowed is None else share(allowed, "--allowed"),
        "unacceptable": None if unacceptable is None else share(unacceptable, "--unacceptable"),
        "alpha": None if alpha is None else share(alpha, "--alpha"),
        "observe_s": None if observe is None else seconds(observe, "--observe"),
        "silent_s": None if silent is None else seconds(silent, "--silent"),
        "deadline_s": None if deadline is None else seconds(deadline, "--deadline"),
        "when_undecided": undecided,
        "rate": rate,
        "seed": seed,
    }
    body = {
        "model": model,
        "version": version,
        "query": query,
        "stages": [item.to_json() for item in made],
        "guards": list(guards),
        "windows": list(windows),
        "needs_approval": needs_approval,
        **{name: value for name, value in given.items() if value is not None},
    }
    if preview:
        found = server.call("POST", "rollouts", "preview", body=body)
        click.echo(dumps(found) if as_json else _previewed(made, found))
        return
    found = server.call("POST", "rollouts", body=body)
    if as_json:
        click.echo(dumps(found))
        return
    click.echo(
        f"rollout {found['id']}: {model} version {version}; `edgewright rollout status {found['id']} --watch` follows it"
    )
    if found["why"]:
        click.echo("\n".join(textwrap.wrap(f"note: {found['why']}", WIDTH)))


@rollout.command("list")
@remote
def list_rollouts(server: Remote, as_json: bool) -> None:
    """List all rollouts, the newest first.

    Example: edgewright rollout list
    """
    found = server.call("GET", "rollouts")
    if as_json:
        click.echo(dumps(found))
        return
    rows = [
        (
            str(item["id"]),
            f"{item['model']} {item['version']}",
            item["state"],
            _place(item),
            since(item["changed_at"]),
            item["why"],
        )
        for item in found["rollouts"]
    ]
    click.echo(table(("id", "what", "state", "stage", "changed", "why"), rows) if rows else "no rollout was made")


@rollout.command()
@click.argument("number", metavar="ID", type=click.IntRange(1))
@click.option("--watch", is_flag=True, help="Go on until it ends, and tell each change.")
@remote
def status(server: Remote, as_json: bool, number: int, watch: bool) -> None:
    """Show the rollout ID: its stages, what devices said, how far each test is. It exits with 2 when it was aborted.

    Example: edgewright rollout status 12 --watch
    """
    shown = None
    while True:
        found = server.call("GET", "rollouts", number)
        told = dumps(found).decode() if as_json else _told(found)
        if told != shown:
            click.echo(told)
            shown = told
        if not watch or found["state"] in _ENDED:
            break
        time.sleep(_WATCH_S)
    if found["state"] == "aborted":
        click.get_current_context().exit(2)


def _verb(verb: str, what: str, done: str) -> None:
    """Add the command that does `verb` to a rollout."""

    def act(server: Remote, as_json: bool, number: int) -> None:
        found = server.call("POST", "rollouts", number, verb)
        click.echo(dumps(found) if as_json else f"rollout {number} is {done}; it is {found['state']}")

    act.__name__, act.__doc__ = verb, f"{what}\n\nExample: edgewright rollout {verb} 12\n"
    rollout.command(verb)(click.argument("number", metavar="ID", type=click.IntRange(1))(remote(act)))


_verb("approve", "Let the rollout ID begin the stage that waits for a person.", "approved")
_verb("pause", "Assign no further device in the rollout ID; those that have it keep it.", "paused")
_verb("resume", "Let the rollout ID, which is paused, go on.", "resumed")
_verb("abort", "End the rollout ID, and give every device what it had before.", "aborted")
_verb("promote", "Let the rollout ID go to its next stage, whatever the tests say by now.", "promoted")


def _stage(text: str) -> Stage:
    from ..fleet.rollout.plan import Stage

    size, _, query = text.partition(" of ")
    return Stage.parse(size, query.strip())


def _previewed(stages: list[Stage], found: dict[str, Any]) -> str:
    lines = [table(("stage", "devices"), [(str(one), str(size)) for one, size in zip(stages, found["sizes"], strict=True)])]
    lines += [line for remark in found["remarks"] for line in textwrap.wrap(f"note: {remark}", WIDTH)]
    rows = list(found["left_out"]["why"].items())
    if rows:
        lines.append(table(("left out", "why"), rows))
    return "\n".join(lines)


def _place(item: dict[str, Any]) -> str:
    """Stage of a rollout, counted from 1."""
    return "not begun" if item["stage"] < 0 else f"stage {item['stage'] + 1} of {len(item['plan']['stages'])}"


def _told(found: dict[str, Any]) -> str:
    lines = [f"rollout {found['id']}: {found['model']} version {found['version']}, {found['state']}, {_place(found)}"]
    lines += textwrap.wrap(found["why"], WIDTH)
    if left_out := found["left_out"]["count"]:
        device, why = next(iter(found["left_out"]["why"].items()))
        lines += textwrap.wrap(f"left out: {left_out}, of them {device}: {why}", WIDTH)
    evidence = found["evidence"]
    rows = [
        (f"{'>' if place == found['stage'] else ' '} {place + 1}", *(str(counts[name]) for name in _COUNTS))
        for place, counts in enumerate(evidence["counts"])
    ]
    if rows:
        lines.append(table(("stage", *(name.replace("_", " ") for name in _COUNTS)), rows))
    rows = [
        (item["name"], str(item["devices"]), f"{item['evidence']:.2f} of {item['bound']:.2f}", _says(item))
        for item in evidence["tests"]
    ]
    if rows:
        lines.append(table(("test", "devices", "evidence", "says"), rows))
    return "\n".join(lines)


def _says(test: dict[str, Any]) -> str:
    """What a test says: nothing yet, or what it refutes."""
    word = {"stop": "abort", "go": "promote"}[test["side"]]
    return f"would {word} by refuting: {test['claim']}" if test["reached"] is None else f"{word}: refuted is: {test['claim']}"
