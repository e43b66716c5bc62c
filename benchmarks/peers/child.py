"""The frame of a tool's process: reads the task, converts, and says what came of it in result.json; needs numpy alone.

python -m benchmarks.peers.tools.NAME TASK OUT
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from benchmarks.peers.task import Cannot, Task


def run(convert: Callable[[Task, Path], Path], *packages: str) -> None:
    """Convert the task that the command line names; `convert` returns the file that it made in the folder it is given.

    `seconds` count from here, after the tool's libraries were imported.
    """
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    start = time.perf_counter()
    result: dict[str, object] = {"versions": {name: metadata.version(name) for name in packages}}
    try:
        made = convert(Task.read(folder), out)
        result |= {"file": str(made.relative_to(out)), "seconds": time.perf_counter() - start}
    except Cannot as error:
        result |= {"why": str(error)}
    except Exception as error:
        traceback.print_exc()
        said = " ".join(str(error).split())
        result |= {"why": f"failed with {type(error).__name__}: {said[:160]}"}
    (out / "result.json").write_text(json.dumps(result), "utf-8")
