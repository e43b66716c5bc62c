"""`edgewright recipes`: the pipelines that have a name."""

from __future__ import annotations

import click

from ..core.canonical import dumps
from ..optimizer.recipes import RECIPES


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def recipes(as_json: bool) -> None:
    """List the named recipes and their pipelines, to be used as they are or copied and changed.

    Example: edgewright recipes
    """
    if as_json:
        click.echo(dumps({name: {"about": item.about, "pipeline": item.text} for name, item in RECIPES.items()}))
        return
    for name, item in RECIPES.items():
        click.echo(f"{name:6}  {item.about}\n        --pipeline '{item.text}'\n")
