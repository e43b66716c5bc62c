from __future__ import annotations

import pytest
from control.device import Device
from control_plane import Control


@pytest.fixture
def control(tmp_path):
    found = Control(tmp_path / "control")
    yield found
    found.close()


@pytest.fixture
def device(tmp_path):
    return Device(tmp_path / "device")


@pytest.fixture
def enrolled(control, device):
    device.enrol(control)
    return device
