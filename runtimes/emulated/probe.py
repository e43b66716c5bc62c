"""What a Python says of its CPU and its packages: run on an emulated CPU before anything is judged there."""

from __future__ import annotations

import ctypes
import json
import platform
import sys
from collections.abc import Sequence
from importlib import metadata

_AT_HWCAP, _AT_HWCAP2 = 16, 26  # Linux, include/uapi/linux/auxvec.h


def main(arguments: Sequence[str]) -> None:
    """Print a JSON object; `arguments` are names of packages. A package that is not there has no version."""
    libc = ctypes.CDLL(None)
    libc.getauxval.restype = ctypes.c_ulong
    libc.getauxval.argtypes = [ctypes.c_ulong]
    versions = {}
    for name in arguments:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    said = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "hwcap": int(libc.getauxval(_AT_HWCAP)),
        "hwcap2": int(libc.getauxval(_AT_HWCAP2)),
        "versions": versions,
    }
    sys.stdout.write(json.dumps(said) + "\n")
