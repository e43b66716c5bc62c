"""Lets the tests here share `prune.nets`."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent))
