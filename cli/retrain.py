"""`edgewright retrain`: the worker that trains deployed models again, and what people say and see of it."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.canonical import dumps
from ..core.errors import EdgewrightError, UsageError
from .amounts import seconds
from .remote import Remote, remote
from .table import since, stamp, table

if TYPE_CHECKING:
    from ..fleet.retrain.worker import Ended

log = logging.getLogger("edgewright.retrain")

_EXIT_CODES = {"refused": 2, "failed": 1, "lost": 1}
_LONGEST_WAIT_S = 120.0  # between two tries while the server or the disk refuses


class _WithWorker(click.Group):
    """A group whose command `work` need not be said: `edgewright retrain retrain.toml`."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """The command; a file of settings in its place means `work`."""
        if args and args[0].endswith(".toml"):
            args = ["work", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=_WithWorker)
def retrain() -> None:
    """Train what runs again, when a policy says so, and ship it only if it wins on the new and keeps the old.

    \b
    Example: edgewright retrain policy digits 'on: drift severe for 2 windows; at most once a day'
    Example: edgewright retrain retrain.toml --repo repo/ --once
    """


@retrain.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--repo", required=True, help="Folder of the signed repository.")
@click.option("--keys", type=click.Path(path_type=Path), multiple=True, help="Online keys; beside the repository by default.")
@click.option(
    "--fleet-keys", type=click.Path(path_type=Path), multiple=True, help="Offline keys, where a policy lets a machine sign."
)
@click.option(
    "--work",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("retrain-work"),
    show_default=True,
    help="Folder of the work.",
)
@click.option("--once", is_flag=True, help="Do what waits now and end; 0: done, to approve, or nothing waits, 2: refused.")
@click.option("--look", default="10s", show_default=True, help="How often to ask whether something waits.")
@click.option("--lease", default="60s", show_default=True, help="For how long nobody else takes up what this worker works on.")
@remote
def work(
    server: Remote,
    as_json: bool,
    file: Path,
    repo: str,
    keys: tuple[Path, ...],
    fleet_keys: tuple[Path, ...],
    folder: Path,
    once: bool,
    look: str,
    lease: str,
) -> None:
    """Work on retrainings of the model that the settings in FILE are of; `work` itself may be left out.

    Example: edgewright retrain retrain.toml --repo repo/ --once
    """
    from ..fleet.retrain.mlflow_tracker import tracker_of_environment
    from ..fleet.retrain.settings import read_settings
    from ..fleet.retrain.worker import Worker
    from .progress import RichProgress
    from .retrain_parts import ApiServer, only_worker, retrainer, shelf

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    settings, wait_s, lease_s = read_settings(file), seconds(look, "--look"), seconds(lease, "--lease")
    home = folder / settings.model
    with only_worker(home) as name, redirect_stdout(sys.stderr):  # what the user's own code prints is not the answer
        progress = RichProgress(is_quiet=as_json)
        maker, place = retrainer(settings, home, progress), shelf(repo, keys, fleet_keys)
        worker = Worker(settings, home, name, ApiServer(server), maker, place, tracker_of_environment(), lease_s)
        ended = _worked(worker, once, wait_s)
    if ended is None:
        click.echo(dumps({"retraining": None}) if as_json else f"no retraining of {settings.model} waits.")
        return
    _tell(ended, as_json)
    if ended.state in _EXIT_CODES:
        raise click.exceptions.Exit(_EXIT_CODES[ended.state])


def _worked(worker: Any, once: bool, wait_s: float) -> Ended | None:
    """What came of the work; without `once` this never ends."""
    failures = 0
    while True:
        try:
            ended: Ended | None = worker.work()
            failures = 0
        except EdgewrightError as error:
            if once:
                raise
            failures += 1
            log.warning("the work goes on later: %s", error)
            ended = None
        except Exception:  # one retraining's mistake ends no worker that others wait for
            if once:
                raise
            failures += 1
            log.exception("an error that nobody expected; the work goes on later")
            ended = None
        if once:
            return ended
        if ended is not None:
            log.info("retraining %d is %s: %s", ended.number, ended.state, ended.why)
            continue
        time.sleep(min(_LONGEST_WAIT_S, wait_s * 2 ** min(failures, 3)))


def _tell(ended: Ended, as_json: bool) -> None:
    told = {"retraining": ended.number, "state": ended.state, "why": ended.why}
    click.echo(dumps(told) if as_json else f"retraining {ended.number} is {ended.state}: {ended.why}")


@retrain.command()
@click.argument("model")
@click.argument("text", required=False)
@click.option("--remove", is_flag=True, help="Let only people start retrainings of the model.")
@remote
def policy(server: Remote, as_json: bool, model: str, text: str | None, remove: bool) -> None:
    """Set, show or remove the policy of MODEL; docs/fleet/retrain.md has its words.

    Example: edgewright retrain policy digits 'on: accuracy < 0.9; approve: canary by machine, fleet by person'
    """
    if remove:
        if text is not None:
            raise UsageError("give a policy or --remove, not both.")
        found = server.call("DELETE", "policies", model)
        click.echo(dumps(found) if as_json else f"{model} has no policy any more")
        return
    if text is not None:
        found = server.call("PUT", "policies", model, body={"policy": text})
    else:
        every = server.call("GET", "policies")["policies"]
        told = next((item for item in every if item["model"] == model), None)
        if told is None:
            raise UsageError(f"{model!r} has no policy; `edgewright retrain policies` lists those that there are.")
        found = told
    click.echo(dumps(found) if as_json else f"{model}: {found['policy']}")


@retrain.command()
@remote
def policies(server: Remote, as_json: bool) -> None:
    """List all policies.

    Example: edgewright retrain policies
    """
    found = server.call("GET", "policies")
    if as_json:
        click.echo(dumps(found))
        return
    for item in found["policies"]:
        click.echo(f"{item['model']}: {item['policy']}")
    if not found["policies"]:
        click.echo("no model has a policy; `edgewright retrain policy MODEL TEXT` sets one.")


@retrain.command("list")
@click.option("--model", help="Of this model only.")
@remote
def list_retrainings(server: Remote, as_json: bool, model: str | None) -> None:
    """List retrainings, the newest first.

    Example: edgewright retrain list
    """
    found = server.call("GET", "retrainings", query={"model": model})
    if as_json:
        click.echo(dumps(found))
        return
    rows = [
        (str(item["id"]), item["model"], item["state"], since(item["made_at"]), item["why"][:52])
        for item in found["retrainings"]
    ]
    told = table(("id", "model", "state", "opened", "why"), rows) if rows else "nothing was trained again."
    click.echo(told)


@retrain.command()
@click.argument("number", type=click.IntRange(1))
@remote
def show(server: Remote, as_json: bool, number: int) -> None:
    """Show the retraining NUMBER, with its steps.

    Example: edgewright retrain show 1
    """
    found = server.call("GET", "retrainings", number)
    if as_json:
        click.echo(dumps(found))
        return
    click.echo(f"retraining {number} of {found['model']} is {found['state']}: {found['why']}")
    click.echo(f"opened by {found['made_by']} {stamp(found['made_at'])}: {found['cause']}")
    rows = [
        (stamp(item["at"]), item["step"], item["by"][:20], str(item["details"].get("digest", ""))[:12])
        for item in found["steps"]
    ]
    if rows:
        click.echo(table(("UTC", "step", "by", "digest"), rows))


@retrain.command("open")
@click.argument("model")
@click.option("--why", default="", help="The reason, for the audit log.")
@remote
def open_one(server: Remote, as_json: bool, model: str, why: str) -> None:
    """Ask for a retraining of MODEL by hand.

    Example: edgewright retrain open digits --why 'labels of March came'
    """
    found = server.call("POST", "retrainings", body={"model": model, "why": why})
    click.echo(dumps(found) if as_json else f"retraining {found['id']} waits for a worker")


@retrain.command()
@click.argument("number", type=click.IntRange(1))
@remote
def approve(server: Remote, as_json: bool, number: int) -> None:
    """Let the retraining NUMBER, which passed its gates, be published as a canary.

    Example: edgewright retrain approve 1
    """
    _said(server, as_json, number, "approve")


@retrain.command()
@click.argument("number", type=click.IntRange(1))
@remote
def cancel(server: Remote, as_json: bool, number: int) -> None:
    """End the retraining NUMBER; its rollout, if one goes on, is aborted by its own command.

    Example: edgewright retrain cancel 1
    """
    _said(server, as_json, number, "cancel")


def _said(server: Remote, as_json: bool, number: int, verb: str) -> None:
    found = server.call("POST", "retrainings", number, verb)
    click.echo(dumps(found) if as_json else f"retraining {number} is {found['state']}: {found['why']}")
