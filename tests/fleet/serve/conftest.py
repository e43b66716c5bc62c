"""Artifacts made once, and short folders: the path of a socket is bounded."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_artifact import write_tiny

Build = Callable[..., Path]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """build(offset, batch=1, wrong=False): path of the artifact that `write_tiny` makes of it."""
    folder = tmp_path_factory.mktemp("artifacts")

    def made(offset: float = 0.0, batch: int | None = 1, wrong: bool = False) -> Path:
        path = folder / f"{offset}-{batch}-{wrong}.ewa"
        return path if path.exists() else write_tiny(path, offset, batch, wrong)

    return made


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path is short enough for a socket's."""
    folder = Path(tempfile.mkdtemp(prefix="ew-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)
