"""The group `edgewright`: lazy subcommands, one way to print an error, exit codes."""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from typing import Any

import click

from .. import __version__
from ..core.errors import EdgewrightError, unknown

_COMMANDS = {
    "compile": ("compile", "Compile a trained model to gated, measured artifacts."),
    "opt": ("opt", "Run a pipeline of passes on a model."),
    "profiles": ("profiles", "List, show, validate and detect device profiles."),
    "bench": ("bench", "Measure the latency and memory of a model file or artifact."),
    "gate": ("gate", "Judge a candidate against a reference on a data set."),
    "inspect": ("inspect", "Show what is in an artifact."),
    "verify": ("verify", "Check an artifact: digests, structure, test vectors."),
    "run": ("run", "Run an artifact on inputs from a file."),
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are asked for, so that a device needs only what it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of a user's work."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; an unknown one offers the nearest."""
        if cmd_name not in _COMMANDS:
            ctx.fail(unknown("command", cmd_name, _COMMANDS))
        module, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f".{module}", __package__), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_) for name, (_, help_) in _COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="edgewright")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def group(debug: bool) -> None:
    """Edgewright: smaller, faster, and proven to be as accurate.

    Example: edgewright compile model.onnx --data data.npz --profile raspberry-pi-4b --out dist/
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exits with 0, or with the code of what went wrong."""
    given = sys.argv[1:] if arguments is None else arguments
    sys.exit(_guarded(given))


def _guarded(given: list[str]) -> int:
    try:
        result: Any = group.main(args=given, prog_name="edgewright", standalone_mode=False)
    except EdgewrightError as error:
        if "--debug" in given:
            traceback.print_exc()
        click.echo(f"error[{error.code}]: {error}", err=True)
        return error.exit_code
    except click.exceptions.Exit as done:
        return int(done.exit_code)
    except click.ClickException as error:
        error.show()
        return 1
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted: nothing half-written was left; run the same command again to go on.", err=True)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    return int(result) if isinstance(result, int) else 0


if __name__ == "__main__":
    main()
