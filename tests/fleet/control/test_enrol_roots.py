"""The root that a token names, in a repository that rotated its root often."""

from __future__ import annotations

from pathlib import Path

import pytest
from control_plane import Control
from edgewright.core.canonical import digest
from edgewright.core.clock import SystemClock
from edgewright.core.errors import VerificationError
from edgewright.fleet.agent.enrol import enrol, first_root
from edgewright.fleet.disk import RealDisk
from edgewright.fleet.http import Http
from edgewright.fleet.trust.client import Bounds

REPOSITORY = "http://127.0.0.1:1/repository"
MOST = Bounds().root_rotations


class Roots:
    """As many roots as anybody asks for; counts the asking."""

    def __init__(self) -> None:
        self.asked = 0

    def metadata(self, name: str, max_bytes: int) -> bytes:
        self.asked += 1
        return name.encode()


@pytest.mark.parametrize(("version", "is_found"), [(MOST, True), (MOST + 1, False)])
def test_as_many_roots_are_looked_at_as_a_refresh_follows(
    control: Control, tmp_path: Path, version: int, is_found: bool
) -> None:
    disk, roots = RealDisk(tmp_path), Roots()
    token = f"{control.store.make_token(60.0, 'test')}.{digest(f'{version}.root.json'.encode())}"
    try:
        enrol(disk, Http(SystemClock()), control.url, token, {REPOSITORY: roots})  # type: ignore[dict-item]
    except VerificationError:
        assert not is_found
    else:
        assert is_found
        assert first_root(disk) == f"{version}.root.json".encode()
    assert roots.asked == min(version, MOST)
