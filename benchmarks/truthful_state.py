"""What the server believes of a device, after any faults between them: what the device really runs.

    python -m benchmarks.truthful_state [--scenarios 10000] [--seed 0]

The real agent (state machine, journal, reporter) on a simulated disk, and the real store of the control plane in SQLite. In
each scenario versions are published (good ones, and ones that fail to load, to answer or to serve), assigned, pinned and taken
back, the agent is killed and started, and messages are lost, answered in vain, doubled, and delivered late and out of order.
Then the network heals: after one poll the server's state must be the digest that the device runs. Ends with 1 when it ever is
not.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "fleet"))
from control.faults import scenario
from edgewright.fleet.control.database import Database
from edgewright.fleet.control.store import Store
from simulated import SimulatedClock


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.getLogger("edgewright").setLevel(logging.CRITICAL)  # faults are what this is about
    start, wrong = time.perf_counter(), []
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
    with tempfile.TemporaryDirectory(dir=place) as folder, contextlib.closing(Database(folder, SimulatedClock())) as database:
        store = Store(database)
        for number in range(options.scenarios):
            found = scenario(store, options.seed + number)
            if found is not None:
                wrong.append(found)
                print(found, flush=True)
    seconds = time.perf_counter() - start
    print(
        f"{options.scenarios} scenarios in {seconds:.0f} s: the server believes what the device runs in "
        f"{options.scenarios - len(wrong)} of them, one poll after the network healed"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
