"""Scripts run by bash as a CI's runner does it; what calls `edgewright` there is answered by this process.

A program of that name stands first in the scripts' path. It hands its arguments, folder and variables over a socket and prints
what comes back: the command line is the real one, and Python's libraries are loaded once.
"""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from edgewright.cli.main import main

_PROGRAM = """#!{python} -IS
import json, os, socket, sys
ask = socket.socket(socket.AF_UNIX)
ask.connect({address!r})
ask.sendall(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode())
ask.shutdown(socket.SHUT_WR)
code, out, err = json.loads(ask.makefile().read())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""
_EXPRESSION = re.compile(r"\$\{\{ *(.*?) *\}\}")


@dataclass
class Done:
    """What a job did: its exit code, the steps that ran with what they printed, and its outputs by step."""

    code: int = 0
    printed: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    summary: str = ""
    value: dict[str, str] = field(default_factory=dict)


class Shell:
    """Runs scripts and answers their `edgewright`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        address = str(folder / "socket")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(address)
        self._listener.listen()
        self._listener.settimeout(0.02)
        (folder / "bin").mkdir()
        program = folder / "bin" / "edgewright"
        program.write_text(_PROGRAM.format(python=sys.executable, address=address))
        program.chmod(0o755)

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def run(self, script: str, where: Path, variables: Mapping[str, str]) -> tuple[int, str]:
        """Exit code and both streams of a script, run as GitHub's runner does with `shell: bash`."""
        file = self.folder / "step.sh"
        file.write_text(script)
        environment = {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "OMP_NUM_THREADS": "1",
            **variables,
        }
        command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(file)]
        with (self.folder / "printed").open("w+") as printed:
            child = subprocess.Popen(command, cwd=where, env=environment, stdout=printed, stderr=subprocess.STDOUT)
            while child.poll() is None:
                self._answer()
            printed.seek(0)
            return child.returncode, printed.read()

    def _answer(self) -> None:
        try:
            asking, _ = self._listener.accept()
        except TimeoutError:
            return
        with asking:
            asking.settimeout(None)
            arguments, where, variables = json.loads(asking.makefile().read())
            out, err, code = io.StringIO(), io.StringIO(), 0
            here = Path.cwd()
            os.chdir(where)
            with mock.patch.dict(os.environ, variables, clear=True), redirect_stdout(out), redirect_stderr(err):
                try:
                    main(arguments)
                except SystemExit as done:
                    code = int(done.code or 0)
                finally:
                    os.chdir(here)
            asking.sendall(json.dumps([code, out.getvalue(), err.getvalue()]).encode())

    def action(
        self, file: Path, where: Path, inputs: Mapping[str, str], github: Mapping[str, Any], variables: Mapping[str, str]
    ) -> Done:
        """Run the steps of an action.yml in order until one fails, each as it stands in the file."""
        action = yaml.safe_load(file.read_text("utf-8"))
        output, summary = self.folder / "output", self.folder / "summary"
        summary.write_text("")
        done = Done()
        given = {name: str(item.get("default", "")) for name, item in action["inputs"].items()}
        assert set(inputs) <= set(given)
        context: dict[str, Any] = {"inputs": {**given, **inputs}, "github": github, "steps": {}}
        # A default may name the context, as the token's does.
        context["inputs"] = {name: evaluated(text, context) for name, text in context["inputs"].items()}
        for step in action["runs"]["steps"]:
            output.write_text("")
            own = {name: evaluated(text, context) for name, text in step.get("env", {}).items()}
            told = {
                **variables,
                **own,
                "GITHUB_ACTIONS": "true",
                "GITHUB_ACTION_PATH": str(file.parent),
                "GITHUB_OUTPUT": str(output),
                "GITHUB_STEP_SUMMARY": str(summary),
            }
            place = where / evaluated(step.get("working-directory", "."), context)
            done.code, done.printed[step["name"]] = self.run(step["run"], place, told)
            outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
            if "id" in step:
                context["steps"][step["id"]] = {"outputs": outputs}
            if done.code:
                break
        done.summary = summary.read_text()
        done.value = {name: evaluated(item["value"], context) for name, item in action["outputs"].items()}
        return done


def evaluated(text: str, context: Mapping[str, Any]) -> str:
    """`text` with each expression's value: a path into the context, or the first of several that is there."""

    def value(match: re.Match[str]) -> str:
        for path in match[1].split("||"):
            found: Any = context
            for part in path.strip().split("."):
                found = found.get(part) if isinstance(found, Mapping) else None
            if found:
                return str(found)
        return ""

    return _EXPRESSION.sub(value, text)
