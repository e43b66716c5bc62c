"""Lets the tests here share `litert.build` and `litert.reference`."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent))
