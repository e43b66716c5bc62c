"""Power cuts and kills at every moment of an update: every disk that may be found, and what the agent makes of each.

python -m benchmarks.crash_states --each 64 --seed 0

For each scenario (a good version, one that fails its test vectors, its trial or its start, a deployment that is taken back, an
outage, a full disk ...) and each prefix of the log of writes, syncs, renames, links and removals, up to `--each` distinct
disks by what POSIX leaves open: unsynced writes missing, cut, patched with zeros; unsynced names missing in any order that
dependencies allow. Then mishaps on top of mishaps. Shows states and violations by scenario; ends with 1 when there is any
violation, or fewer than 5,000 states.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "fleet"))
from agent.crashes import SCENARIOS, Recorded, check, cuts, cuts_after_cuts, cuts_after_kills, first, record
from edgewright.core.errors import EdgewrightError

SLOW = 8  # real signatures take their time: a part of the states only


def run(recorded: Recorded, each: int, again: int, source: random.Random) -> tuple[int, int]:
    """Distinct states of a scenario, and how many of them broke a promise."""
    seen: set[str] = set()
    broken = 0
    states = itertools.chain(
        cuts(recorded, source, each), cuts_after_kills(recorded, source, again), cuts_after_cuts(recorded, source, again)
    )
    for length, disk in states:
        identity = disk.identity()
        if identity in seen:
            continue
        seen.add(identity)
        try:
            check(recorded, length, disk)
        except (AssertionError, EdgewrightError) as error:
            broken += 1
            print(f"  {recorded.name}, after {length} of {len(recorded.log)} changes: {str(error).splitlines()[0]}")
    return len(seen), broken


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=64, help="states of one prefix at most")
    parser.add_argument("--again", type=int, default=150, help="mishaps on top of a kill, and of a power cut, each scenario")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    source, start = random.Random(options.seed), time.perf_counter()
    total = violations = 0
    for name in ("first", *SCENARIOS):
        recorded = first() if name == "first" else record(name)
        part = SLOW if name == "signed" else 1
        states, broken = run(recorded, options.each // part, options.again // part, source)
        total, violations = total + states, violations + broken
        print(
            f"{name:11} {len(recorded.log) - recorded.begins_at:4} changes {states:6} states {broken:4} violations", flush=True
        )
    print(f"{total} distinct states, {violations} violations, {time.perf_counter() - start:.0f} s")
    return int(violations > 0 or total < 5000)


if __name__ == "__main__":
    sys.exit(main())
