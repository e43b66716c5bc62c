"""`edgewright simulate`: rehearse a rollout on a fleet in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..core.canonical import dumps
from ..core.errors import UsageError
from .amounts import seconds, share

_KINDS = ("wrong", "crashing", "late", "slow", "unsure", "mixed")  # of fleet.simulate.scenario, which is slow to import


@click.command()
@click.option("--devices", type=click.IntRange(1, 1_000_000), default=1000, show_default=True, help="How many.")
@click.option("--failure", default="0%", show_default=True, help="Share of devices on which the new version fails.")
@click.option(
    "--kind", type=click.Choice(_KINDS), default="crashing", show_default=True,
    help="How it fails: answers that its test vectors refute, an end of its process in the trial or after it, slow answers, "
    "less confidence, or each of these on some devices.",
)  # fmt: skip
@click.option("--fails-where", default="", metavar="QUERY", help="It fails on devices that this means only: 'site = lyon'.")
@click.option("--loss", default="1%", show_default=True, help="Share of exchanges with the server that fail.")
@click.option("--off", "silent", default="0.5%", show_default=True, help="Share of devices that are off all the time.")
@click.option("--power-cuts", default="0.1%", show_default=True, help="Share of updates that a power cut falls into.")
@click.option("--wrong-clocks", default="1%", show_default=True, help="Share of devices whose clocks are days off.")
@click.option("--poll", default="5m", show_default=True, help="Time between two polls of a device.")
@click.option("--trial", default="5m", show_default=True, help="How long a device tries a version before it commits it.")
@click.option("--to", "query", default="", metavar="QUERY", help="The rollout: which devices; all by default.")
@click.option("--canary", default="5%", show_default=True, metavar="STAGE", help="The rollout: its first stage, 5% or 20.")
@click.option("--then", "stages", multiple=True, metavar="STAGE", help="The rollout: a next stage; all is the last.")
@click.option("--guard", "guards", multiple=True, help="The rollout: a guard, 'slow <= +5pt'.")
@click.option("--allowed", help="The rollout: share of devices that may fail.  [3%]")
@click.option("--unacceptable", help="The rollout: share that must be ruled out before the next stage.  [10%]")
@click.option("--observe", help="The rollout: how long a device is looked at before it counts as good.  [1h]")
@click.option("--silent", "silent_after", help="The rollout: after what time a device that says nothing is silent.  [1d]")
@click.option("--rate", type=click.IntRange(1), help="The rollout: devices that are assigned in a minute.  [all at once]")
@click.option(
    "--undecided", type=click.Choice(["pause", "promote"]), default="pause", show_default=True,
    help="The rollout: what follows when a stage has answered and proves nothing.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed plays the same.")
@click.option("--data", "folder", type=click.Path(path_type=Path), help="Keep the database here, to look at; must be empty.")
@click.option("--json", "as_json", is_flag=True, help="Print the story as one JSON object.")
def simulate(
    devices: int,
    failure: str,
    kind: str,
    fails_where: str,
    loss: str,
    silent: str,
    power_cuts: str,
    wrong_clocks: str,
    poll: str,
    trial: str,
    query: str,
    canary: str,
    stages: tuple[str, ...],
    guards: tuple[str, ...],
    allowed: str | None,
    unacceptable: str | None,
    observe: str | None,
    silent_after: str | None,
    rate: int | None,
    undecided: str,
    seed: int,
    folder: Path | None,
    as_json: bool,
) -> None:
    """Rehearse a rollout: the server's own code, tests and database, over simulated devices, days in seconds.

    A device is a small model of the agent with its states and messages. What is told of devices is what is true of them.

    \b
    Example: edgewright simulate --devices 10000 --failure 8%
    Example: edgewright simulate --failure 30% --kind slow --guard 'slow <= +5pt' --canary 20 --then 25%
    """
    from ..fleet.control.database import FILE, MEMORY
    from ..fleet.rollout.guard import Guard
    from ..fleet.rollout.plan import Plan, Stage
    from ..fleet.simulate.artifacts import MODEL, NEW
    from ..fleet.simulate.rehearsal import Rehearsal
    from ..fleet.simulate.scenario import Scenario
    from ..fleet.simulate.story import lines

    if folder is not None and (folder / FILE).exists():
        raise UsageError(f"{folder} has a control plane's database already; give an empty folder, or none.")
    reached = [Stage.parse(item) for item in (canary, *stages)]
    chosen: dict[str, Any] = {
        "allowed": None if allowed is None else share(allowed, "--allowed"),
        "unacceptable": None if unacceptable is None else share(unacceptable, "--unacceptable"),
        "observe_s": None if observe is None else seconds(observe, "--observe"),
        "silent_s": None if silent_after is None else seconds(silent_after, "--silent"),
    }
    plan = Plan(
        MODEL,
        NEW,
        query,
        tuple(reached if reached[-1] == Stage() else [*reached, Stage()]),
        guards=tuple(map(Guard.parse, guards)),
        rate=rate,
        when_undecided="promote" if undecided == "promote" else "pause",
        seed=seed,
        **{name: value for name, value in chosen.items() if value is not None},
    )
    scenario = Scenario(
        devices=devices,
        failure=_share(failure, "--failure"),
        kind=kind,
        fails_where=fails_where,
        loss=_share(loss, "--loss"),
        silent=_share(silent, "--off"),
        power_cuts=_share(power_cuts, "--power-cuts"),
        wrong_clocks=_share(wrong_clocks, "--wrong-clocks"),
        poll_s=seconds(poll, "--poll"),
        trial_s=seconds(trial, "--trial"),
        seed=seed,
    )
    story = Rehearsal(plan, scenario, MEMORY if folder is None else str(folder)).run()
    click.echo(dumps(story.to_json()) if as_json else "\n".join(lines(story)))


def _share(text: str, option: str) -> float:
    return 0.0 if text.strip() in ("0", "0%") else share(text, option)
