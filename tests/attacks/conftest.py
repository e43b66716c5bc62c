"""Lets attacks use the simulators of the rooms that they attack."""

import sys
from pathlib import Path

_FLEET = Path(__file__).parents[1] / "fleet"
sys.path += [str(_FLEET), str(_FLEET / "trust")]
