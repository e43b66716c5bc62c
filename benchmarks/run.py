"""Every benchmark that finishes within minutes, one after the other: `make bench`. The others are named in README.md."""

from __future__ import annotations

import subprocess
import sys
import tempfile

_COMMANDS = (
    ["benchmarks/kernels.py"],
    ["benchmarks/calibration_streaming.py", "memory"],
    ["benchmarks/gate_false_accepts.py", "--replays", "1000"],
    ["-m", "benchmarks.litert_exact"],
    ["-m", "benchmarks.speed.growth"],
    ["-m", "benchmarks.compile_time", "--millions", "1", "4"],
    ["-m", "benchmarks.main_job"],
)


def main() -> int:
    """Run them all; the exit code is the worst."""
    codes = []
    with tempfile.TemporaryDirectory() as folder:
        for command in _COMMANDS:
            extra = ["--out", folder] if command[-1] == "benchmarks.main_job" else []
            print(f"\n$ python {' '.join([*command, *extra])}", flush=True)
            codes.append(subprocess.run([sys.executable, *command, *extra], check=False).returncode)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
