"""The process that measures: one artifact, then its end. It tells one JSON object: {"measurement": ...} or {"error": SENTENCE}.

It ends with whoever started it, and is the first that Linux ends where memory runs short: the models that serve go on. Its
priority is everybody's: a lower one would measure how much the others left.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ....core.canonical import digest_file, dumps
from ....core.errors import EdgewrightError, VerificationError
from ....runtimes.bench.here import Case, bench_here
from ....runtimes.bench.latency import Budget
from .order import Order

_OOM_SCORE = Path("/proc/self/oom_score_adj")
_PLACE = re.compile(r"\S*/artifact\.ewa")
_FIRST_TO_GO = "1000"  # Linux, Documentation/filesystems/proc.rst


def answer(order: Order) -> dict[str, Any]:
    """What is told; never raises for what the file or the runtime does."""
    try:
        if digest_file(Path(order.path)) != order.sha256:
            raise VerificationError("the file is not the artifact that was signed; it is not run.")
        with tempfile.TemporaryDirectory() as folder:
            # What kind of file it is goes by its name, and a download is called by its digest.
            file = Path(folder) / "artifact.ewa"
            file.symlink_to(order.path)
            found = bench_here(Case(file, order.threads, order.batch), budget=Budget(windows=order.windows)).measurement
    except EdgewrightError as error:
        return {"error": _PLACE.sub("the artifact", str(error))}
    except OSError as error:
        return {"error": f"the artifact cannot be read: {error.strerror or error}."}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"measurement": None if found is None else found.to_json()}


def main(arguments: Sequence[str]) -> None:
    """The child: `arguments` are the order; standard input stays open as long as the agent lives."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(OSError):
        _OOM_SCORE.write_text(_FIRST_TO_GO)
    told = dumps(answer(Order.parse(arguments[0])))
    sys.stdout.buffer.write(told)
    sys.stdout.buffer.flush()


def _end_with_parent() -> None:
    # Not by the buffered stream: a thread that waits in it aborts an interpreter that ends.
    while os.read(0, 1):
        pass
    os._exit(1)
