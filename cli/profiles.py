"""`edgewright profiles`: the devices that are known, and the one that this is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..core.canonical import dumps
from ..device_profiles import detect as detection
from ..device_profiles import host, loader
from ..device_profiles.profile import DeviceProfile


@click.group()
def profiles() -> None:
    """List, show, validate and detect device profiles.

    Example: edgewright profiles show raspberry-pi-4b
    """


@profiles.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def list_(as_json: bool) -> None:
    """List the profiles that come with Edgewright, and which of them this CPU can stand for.

    Example: edgewright profiles list
    """
    found = [loader.load(name) for name in loader.known()]
    if as_json:
        click.echo(dumps([as_object(profile) for profile in found]))
        return
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:  # a device need not have it
        click.echo(_plain([(p.name, p.title, _memory(p), " ".join(p.runtimes), _stands_for(p)) for p in found]))
        return

    table = Table(box=None, pad_edge=False)
    table.add_column("profile", overflow="fold", min_width=15)
    table.add_column("device", overflow="fold", ratio=2)
    table.add_column("cores", justify="right")
    table.add_column("memory", justify="right", no_wrap=True)
    table.add_column("runtimes", overflow="fold", ratio=1)
    table.add_column("this CPU", overflow="fold")
    for profile in found:
        runtimes = " ".join(profile.runtimes)
        table.add_row(profile.name, profile.title, str(profile.cores), _memory(profile), runtimes, _stands_for(profile))
    Console().print(table)


@profiles.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(name: str, as_json: bool) -> None:
    """Show the facts of the profile NAME (or of a .toml file), each with its source.

    Example: edgewright profiles show intel-n100
    """
    profile = loader.load(name)
    if as_json:
        click.echo(dumps(as_object(profile)))
        return
    title = f"{profile.name}: {profile.title}"
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        rows = [(fact, _text(getattr(profile, fact)), source) for fact, source in profile.sources.items()]
        click.echo(f"{title}\n{_plain(rows)}")
        return

    table = Table(box=None, pad_edge=False)
    table.add_column("fact", no_wrap=True)
    table.add_column("value", overflow="fold", ratio=1)
    table.add_column("source", overflow="fold", ratio=2)
    for fact, source in profile.sources.items():
        table.add_row(fact, _text(getattr(profile, fact)), source)
    console = Console()
    console.print(title, highlight=False, markup=False)
    console.print(table)


@profiles.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the profile as one JSON object.")
def validate(file: Path, as_json: bool) -> None:
    """Check every fact of a profile FILE.

    Example: edgewright profiles validate my-board.toml
    """
    profile = loader.validate(file)
    click.echo(dumps(as_object(profile)) if as_json else f"{file} is a valid profile: {profile.name}, {profile.title}.")


@profiles.command()
@click.option("--name", help="Name of the profile; the machine's host name by default.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of TOML.")
def detect(name: str | None, as_json: bool) -> None:
    """Print the profile of the machine that this runs on, as TOML.

    Example: edgewright profiles detect --name my-board > my-board.toml
    """
    profile = detection.detect(name)
    click.echo(dumps(as_object(profile)) if as_json else loader.to_toml(profile), nl=as_json)


def as_object(profile: DeviceProfile) -> dict[str, Any]:
    """JSON object of a profile, instruction sets sorted."""
    fields = {field.name: getattr(profile, field.name) for field in dataclasses.fields(profile)}
    return {**fields, "isa": sorted(profile.isa), "runtimes": list(profile.runtimes), "sources": dict(profile.sources)}


def _memory(profile: DeviceProfile) -> str:
    return f"{profile.ram_bytes / (1 << 30):.0f} GiB"


def _plain(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows as lines, every column but the last as wide as its widest."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _stands_for(profile: DeviceProfile) -> str:
    """What figures of int8 models taken here may claim for the profile, in a word."""
    first = profile.runtimes[0]
    if host.measured_on(profile, first, "latency") == "target":
        return "target"
    return host.measured_on(profile, first, "accuracy") or "no"


def _text(value: Any) -> str:
    if isinstance(value, frozenset | tuple):
        return " ".join(sorted(value) if isinstance(value, frozenset) else value)
    return str(value)
