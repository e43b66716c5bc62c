"""How the time of each part grows, beside how it should: `python -m benchmarks.speed.growth [--picture FILE] [--json FILE]`.

Processor time, the best of some tries after one to warm up, so that other work on the machine counts little. A part holds when
its exponent between the two largest sizes, where what is constant counts least, exceeds what it should be by at most 0.25:
caches and sorting cost that much, and what is quadratic is far above.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.speed.cases import CASES, Case, Timed

_TRIES, _LEAST_SECONDS, _ALLOWED = 3, 0.02, 0.25


@dataclass(frozen=True)
class Growth:
    """Seconds of processor time at each size of one part."""

    part: str
    grows_with: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    should_be: float

    @property
    def exponent(self) -> float:
        """From the second to last size to the last one, where what is constant counts least."""
        (low, high), (fast, slow) = self.sizes[-2:], self.seconds[-2:]
        return math.log(slow / fast) / math.log(high / low)

    @property
    def holds(self) -> bool:
        """Whether it grows no faster than it should."""
        return self.exponent <= self.should_be + _ALLOWED


def seconds_of(timed: Timed) -> float:
    """Processor seconds of one call: the best of some tries, each of as many calls as take a while."""
    timed()
    calls = 1
    while (one := _tried(timed, calls)) < _LEAST_SECONDS:
        calls *= 4
    return min([one, *(_tried(timed, calls) for _ in range(_TRIES - 1))]) / calls


def _tried(timed: Timed, calls: int) -> float:
    begin = time.process_time()
    for _ in range(calls):
        timed()
    return time.process_time() - begin


def growth_of(part: str, case: Case) -> Growth:
    """Time one part at all its sizes."""
    found = []
    for size in case.sizes:
        with tempfile.TemporaryDirectory() as folder:
            found.append(seconds_of(case.make(size, Path(folder))))
    return Growth(part, case.grows_with, case.sizes, tuple(found), case.slope)


def draw(found: Sequence[Growth], path: Path) -> None:
    """A small picture a part: time by size, and a dotted line of the slope that it should have."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = 4
    rows = -(-len(found) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(12, 2.6 * rows), squeeze=False)
    for place, axis in enumerate(axes.flat):
        if place >= len(found):
            axis.set_visible(False)
            continue
        item = found[place]
        axis.loglog(item.sizes, item.seconds, "o-")
        line = [item.seconds[-1] * (size / item.sizes[-1]) ** item.should_be for size in item.sizes]
        axis.loglog(item.sizes, line, "k:")
        axis.set_title(f"{item.part}: {item.exponent:.2f}, should be {item.should_be:g}", fontsize=8)
        axis.set_xlabel(item.grows_with, fontsize=8)
        axis.tick_params(labelsize=7)
    figure.supylabel("processor seconds", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=list(CASES))
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = []
    print("| part | grows with | sizes | processor ms | exponent | should be |\n|---|---|---|---|---|---|")
    for part in given.part or CASES:
        item = growth_of(part, CASES[part])
        found.append(item)
        sizes = ", ".join(f"{size:,}" for size in item.sizes)
        times = ", ".join(f"{1e3 * one:.3g}" for one in item.seconds)
        flag = "" if item.holds else " (too steep)"
        print(
            f"| {part} | {item.grows_with} | {sizes} | {times} | {item.exponent:.2f}{flag} | {item.should_be:g} |", flush=True
        )
    if given.json:
        rows = [{**asdict(item), "exponent": round(item.exponent, 3)} for item in found]
        given.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    if given.picture:
        draw(found, given.picture)
    return 0 if all(item.holds for item in found) else 1


if __name__ == "__main__":
    sys.exit(main())
