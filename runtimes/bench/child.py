"""The process that runs one model file for another: `python -m edgewright.runtimes.bench.child RUNTIME FOLDER ENTRY THREADS`.

It answers on its standard output; whatever a runtime prints there goes to standard error instead.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from ...core.errors import EdgewrightError
from .wire import DONE, ERROR, RUN, BrokenWire, pack, receive, send, unpack

_MODULES = {"onnxruntime": "onnxruntime", "openvino": "openvino", "litert": "ai_edge_litert.interpreter"}


def main(runtime: str, folder: str, entry: str, threads: str) -> None:
    """Load the file, then answer requests until the other side goes."""
    answers = os.dup(1)
    os.dup2(2, 1)
    with contextlib.suppress(BrokenWire):
        try:
            files = {file.name: file.read_bytes() for file in Path(folder).iterdir()}
            module = import_module(f"..{runtime}.run", __package__)
            import_module(_MODULES[runtime])
            before = _reset_peak()
            executor = module.load(files, entry, int(threads))
            del files
        except EdgewrightError as error:
            send(answers, ERROR, str(error).encode())
            return
        except ImportError as error:
            send(answers, ERROR, f"the runtime {runtime!r} cannot be imported: {error}; install it.".encode())
            return
        ports = {"inputs": executor.inputs, "outputs": executor.outputs}
        specs = {key: [spec.to_json() for spec in value] for key, value in ports.items()}
        send(answers, DONE, json.dumps(specs).encode())
        while True:
            kind, payload = receive(0)
            _answer(answers, executor, payload if kind == RUN else None, before)


def _answer(answers: int, executor: Any, payload: bytes | None, before: int) -> None:
    try:
        reply = str(_status_bytes("VmHWM") - before).encode() if payload is None else pack(executor.run(unpack(payload)))
    except EdgewrightError as error:
        send(answers, ERROR, str(error).encode())
    else:
        send(answers, DONE, reply)


def _reset_peak() -> int:
    """Make the peak of resident memory start from now; its size in bytes."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status_bytes("VmRSS")


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) << 10
    return 0


if __name__ == "__main__":
    main(*sys.argv[1:5])
