from __future__ import annotations

import pytest
from control_plane import Control


@pytest.fixture
def control(tmp_path):
    found = Control(tmp_path / "control")
    yield found
    found.close()
