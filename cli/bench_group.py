"""The group of `edgewright bench`: `bench FILE...` measures, `bench NAME ...` is the command of that name beside it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

_MEASURE = "measure"
# Name: the module of this folder that defines the command under that name, imported when it is asked for, and what it does.
_BESIDE: Mapping[str, tuple[str, str]] = {
    "compare": ("bench_compare", "Compare two builds; fail on a regression that is shown."),
}


class BenchGroup(click.Group):
    """Runs its command `measure` for arguments that do not begin with the name of another command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the name of the default before the arguments where none is given."""
        named = args[:1] if args and args[0] in self.list_commands(ctx) else [_MEASURE]
        return super().parse_args(ctx, [*named, *(args[1:] if named == args[:1] else args)])

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names beside the default."""
        return sorted(_BESIDE)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name in _BESIDE:
            command: click.Command = getattr(import_module(f".{_BESIDE[cmd_name][0]}", __package__), cmd_name)
            return command
        return super().get_command(ctx, cmd_name)


class DefaultCommand(click.Command):
    """The default of a `BenchGroup`: it speaks of itself by the group's name, since that is what a person types."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """A context in the place of the group's."""
        if parent is None:
            return super().make_context(info_name, args, None, **extra)
        return super().make_context(parent.info_name, args, parent.parent, **extra)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Tell of the commands beside it."""
        if _BESIDE:
            with formatter.section("Commands beside it"):
                formatter.write_dl([(f"edgewright bench {name}", said) for name, (_, said) in sorted(_BESIDE.items())])
