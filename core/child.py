"""Starting a module of this package in a Python process of its own, in whatever folder the user happens to be."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

# `-m` and `-c` put the current folder first on sys.path, where a numpy.py that lies beside somebody's artifact would be run;
# -P, which forbids it, is not known to Python 3.10. The package's own folder is there only while the package is found.
_START = """
import sys
sys.path[:] = [folder for folder in sys.path if folder]
import importlib
folder, module = sys.argv[1:3]
if folder:
    sys.path.insert(0, folder)
importlib.import_module(module.partition(".")[0])
if folder:
    sys.path.remove(folder)
importlib.import_module(module).main(sys.argv[3:])
"""


def child_command(module: str, *arguments: str) -> list[str]:
    """The command that calls `main(arguments)` of `module`, a full name, in this very package; needs no current folder."""
    package = package_folder()
    # From a wheel on a path of its own the child must be told; an editable install finds its folder, whatever its name.
    folder = str(package.parent) if package.name == module.partition(".")[0] else ""
    return start_command([sys.executable], folder, module, *arguments)


def package_folder() -> Path:
    """The folder of this package's code."""
    return Path(__file__).resolve().parents[1]


def start_command(python: Sequence[str], folder: str, module: str, *arguments: str) -> list[str]:
    """The command that calls `main(arguments)` of `module` in that Python; `folder` holds the package, "" where it is known."""
    return [*python, "-c", _START, folder, module, *arguments]
