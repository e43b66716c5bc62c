"""Time of a file against the compiler's, in turns in one process, one thread; kept beside the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgewright.runtimes.bench.compare import compare

from benchmarks.peers.judging import executor_of, fitted
from benchmarks.peers.task import Task

_WARM_UP_S = 1.0


def timed(theirs: Path, ours: Path, task: Task, rounds: int) -> dict[str, Any] | None:
    """`ratio` of their time to ours with the bounds `low` and `high` (one-sided 95 % each), and the medians in milliseconds.

    Where `rounds` is 0 only what was measured before, or None. Raises EdgewrightError where one of them does not run.
    """
    kept = theirs.parent / f"{theirs.stem}.time.json"
    asked = {"ours": ours.stat().st_mtime, "theirs": theirs.stat().st_mtime}
    if kept.exists():
        known = json.loads(kept.read_text("utf-8"))
        if known["asked"] == asked and rounds in {0, known["result"]["rounds"]}:
            result: dict[str, Any] = known["result"]
            return result
    if rounds == 0:
        return None
    one, other = executor_of(theirs), executor_of(ours)
    try:
        x = task.x("accept")[:1]
        found = compare(
            one,
            other,
            {one.inputs[0].name: fitted(one, x, theirs)},
            rounds,
            reference_inputs={other.inputs[0].name: fitted(other, x, ours)},
            warm_up_s=_WARM_UP_S,
        )
    finally:
        one.close()
        other.close()
    result = found.to_json()
    kept.write_text(json.dumps({"asked": asked, "result": result}), "utf-8")
    return result
