"""The commands, run in this process."""

from __future__ import annotations

from click.testing import CliRunner
from edgewright.cli.main import group
from edgewright.fleet.control.people import People


def edgewright(*arguments, code=0, **environment):
    """Run a command; its output, or the error that it raises."""
    result = CliRunner().invoke(group, [str(item) for item in arguments], env=environment)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


class Asked:
    """Commands of a person with a role, sent to a running control plane."""

    def __init__(self, control, token_file, role="admin"):
        self.token = People(control.database).make(f"the {role}", role, 1.0, "test")
        token_file.write_text(f"{self.token}\n")
        self._options = ("--server", control.url, "--token-file", token_file)

    def __call__(self, *arguments, code=0):
        """The output, of which no table is too wide for a terminal; or the error that it raises."""
        told = edgewright(*arguments, *self._options, code=code)
        if "--json" not in arguments and {"list", "show", "status", "audit"} & set(arguments) and "--verify" not in arguments:
            assert max(map(len, told.splitlines()), default=0) <= 100, told
        return told
