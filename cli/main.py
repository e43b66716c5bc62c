"""The group `edgewright`: lazy subcommands, one way to print an error, exit codes."""

from __future__ import annotations

import io
import sys
import traceback
from importlib import import_module
from typing import Any

import click

from .. import __version__
from ..core.errors import EdgewrightError, StoreError, UsageError, unknown

_COMMANDS = {
    "compile": ("compile", "Compile a trained model to gated, measured artifacts."),
    "check": ("check", "Check declarations (edgewright.toml) without compiling."),
    "recipes": ("recipes", "List the named recipes and their pipelines."),
    "opt": ("opt", "Run a pipeline of passes on a model."),
    "profiles": ("profiles", "List, show, validate and detect device profiles."),
    "bench": ("bench", "Measure model files and artifacts; compare two builds."),
    "emulation": ("emulation", "Make an emulated arm64 device, to judge accuracy on its kernels."),
    "gate": ("gate", "Judge a candidate against a reference on a data set."),
    "ci": ("ci", "Tell a CI what was found: Markdown, JUnit XML, one comment."),
    "inspect": ("inspect", "Show what is in an artifact."),
    "verify": ("verify", "Check an artifact: digests, structure, test vectors."),
    "run": ("run", "Run an artifact on inputs from a file."),
    "serve": ("serve", "Serve an artifact by the Open Inference Protocol."),
    "repo": ("repo", "Make and tend a signed repository."),
    "publish": ("publish", "Sign artifacts and put them into a repository."),
    "agent": ("agent", "Run this device: download, verify, switch, serve, roll back, report."),
    "server": ("server", "Serve devices and people; tokens, backup, restore, prune, verify."),
    "devices": ("devices", "See devices and what they run; enrol, call, assign, revoke them."),
    "group": ("group", "Name queries over devices."),
    "rollout": ("rollout", "Bring a version to many devices in stages, each of them a test."),
    "labels": ("labels", "Tell what is true of samples and answers of devices."),
    "samples": ("samples", "Use the examples that devices sent, for training."),
    "drift": ("drift", "See what changed on devices since compile time, and what it means."),
    "retrain": ("retrain", "Train what runs again, and ship it if it wins; policies of that."),
    "simulate": ("simulate", "Rehearse a rollout on a fleet in virtual time."),
    "people": ("people", "Give tokens to people and programs."),
    "explain": ("explain", "Tell what ran on a device at a time, and where it came from."),
    "audit": ("audit", "Show who changed what, and check that none of it was removed."),
}

_EXTRAS = {
    **dict.fromkeys(("agent", "serve"), "agent"),
    **dict.fromkeys(("repo", "publish"), "publish"),
    **dict.fromkeys(
        ("server", "devices", "drift", "labels", "samples", "group", "rollout", "simulate", "people", "explain", "audit"),
        "server",
    ),
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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that lacks a letter must not end hours of work.
            stream.reconfigure(errors="replace")
    sys.exit(_guarded(given))


def _guarded(given: list[str]) -> int:
    debug = "--debug" in given
    try:
        # Wherever it stands: a user adds it to the end of the line that failed.
        arguments = [item for item in given if item != "--debug"]
        result: Any = group.main(args=arguments, prog_name="edgewright", standalone_mode=False)
    except EdgewrightError as error:
        return _refused(error.code, str(error), error.exit_code, debug)
    except click.exceptions.Exit as done:
        return int(done.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 1
    except click.ClickException as error:
        return _refused(UsageError.code, _sentence(error), UsageError.exit_code, debug)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted: nothing half-written was left; run the same command again to go on.", err=True)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(next((item for item in given if item in _COMMANDS), ""), "compiler")
        told = f"this command needs {error.name!r}, which is not installed; pip install 'edgewright[{extra}]'."
        return _refused(UsageError.code, told, UsageError.exit_code, debug)
    except OSError as error:
        place = f" {error.filename}" if error.filename else ""
        told = (
            f"the system refused to read or write{place}: {error.strerror or error}; check the path, its rights and the space."
        )
        return _refused(StoreError.code, told, StoreError.exit_code, debug)
    except MemoryError:
        return _refused("E-MEMORY", "the memory is used up; give fewer or smaller samples, or a larger machine.", 1, debug)
    except Exception as error:  # a mistake of ours: still one sentence, and no artifact
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": .")
        told = f"Edgewright stopped on a mistake of its own ({reason}); run it again with --debug and report what that prints."
        return _refused("E-INTERNAL", told, 1, debug)
    return int(result) if isinstance(result, int) else 0


def _refused(code: str, sentence: str, exit_code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    click.echo(f"error[{code}]: {' '.join(sentence.split())}", err=True)
    return exit_code


def _sentence(error: click.ClickException) -> str:
    """What click says, as one sentence that tells where help is; an unknown option offers the nearest."""
    context = getattr(error, "ctx", None)
    if isinstance(error, click.NoSuchOption) and context is not None:
        return unknown("option", error.option_name, [name for item in context.command.params for name in item.opts])
    said = error.format_message().strip().rstrip(".").replace(". Did you mean", "; did you mean")
    said = said[:1].lower() + said[1:]
    if said.endswith("?") or context is None:
        return said if said.endswith("?") else f"{said}."
    return f"{said}; see `{context.command_path} --help`."


if __name__ == "__main__":
    main()
