"""Lets the tests of the fleet share `simulated` and the helpers in their folders."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
