"""The whole application with a fleet in it, asked in this process, and a token of each role."""

from __future__ import annotations

import pytest
from control.api.fleet import Fleet


@pytest.fixture
def fleet(tmp_path, clock):
    with Fleet(str(tmp_path / "data"), clock) as found:
        yield found
