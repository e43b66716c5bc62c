from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def canary(tmp_path) -> Path:
    """A file that hostile input tries to create."""
    return tmp_path / "canary"
