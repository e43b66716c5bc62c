"""A scratch repository with a tiny model, the steps of a CI run in it as they stand, and a forge that takes comments."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from ci_forge import Forge
from ci_repository import Repository
from ci_shell import Shell


@pytest.fixture(scope="session")
def repository(digits: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A git repository whose one commit holds digits.onnx, its data and edgewright.toml."""
    if shutil.which("git") is None:
        pytest.skip("git is not on this machine")
    return Repository(tmp_path_factory.mktemp("scratch"), *digits)


@pytest.fixture(scope="session")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Runs scripts whose `edgewright` is answered by this process."""
    with Shell(tmp_path_factory.mktemp("shell")) as made:
        yield made


@pytest.fixture
def forge() -> Iterator[Forge]:
    """GitHub's and GitLab's comments on a port of this machine."""
    with Forge() as made:
        yield made


@pytest.fixture(autouse=True)
def _drawn_once(drawn_once: Callable[..., None]) -> None:
    """See `drawn_once`."""
