"""A row of the table: what a tool made of a model, beside the compiler's way of the same, and where it is ahead."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgewright.core.errors import EdgewrightError

from benchmarks.peers.ahead import ahead
from benchmarks.peers.judging import answers, compared, judge, kept, refused
from benchmarks.peers.making import file_bytes, folder_of
from benchmarks.peers.registry import PEERS, Peer
from benchmarks.peers.task import Task
from benchmarks.peers.timing import timed

_KEPT = ("bytes", "seconds", "process_seconds", "cpu_seconds", "peak_bytes", "why")
_PATH = re.compile(r"(?:/[\w.+@-]+){2,}/?")


def row_of(peer: Peer, task: Task, work: Path, made: Mapping[str, Any], rounds: int) -> dict[str, Any]:
    """The row; `rounds` of timing against the compiler's file, only those that were measured before where it is 0."""
    row: dict[str, Any] = {"model": task.name, "peer": peer.name, "runtime": peer.runtime, "against": peer.against}
    row |= {name: made[name] for name in _KEPT if name in made}
    if "file" in made:
        file = folder_of(peer, task, work) / made["file"]
        if peer.runtime == "any":
            row["runtime"] = {".onnx": "onnxruntime", ".xml": "openvino", ".tflite": "litert"}[file.suffix]
        try:
            found = answers(file, task)
            row["accuracy"] = kept(file.with_suffix(".judged.json"), [file], lambda: judge(task, found))
            if peer.against is not None:
                row["compared"] = _beside(peer, task, work, file, rounds)
        except EdgewrightError as error:
            row["why"] = refused(error)
    if "why" in row:
        row["why"] = _PATH.sub(lambda found: found.group().rstrip("/").rpartition("/")[2], row["why"])
    row["ahead"] = ahead(row)
    return row


def _beside(peer: Peer, task: Task, work: Path, file: Path, rounds: int) -> dict[str, Any] | None:
    """Size, metric and time against the compiler's; None where it made no file, absent where it has not been run yet."""
    ours = next(item for item in PEERS if item.name == peer.against)
    record = folder_of(ours, task, work) / "made.json"
    if not record.exists():
        return {}
    made = json.loads(record.read_text("utf-8"))
    if "file" not in made:
        return None
    own = record.parent / made["file"]
    result: dict[str, Any] = {
        "size": file_bytes(file) / file_bytes(own),
        "metric": kept(
            file.with_suffix(".compared.json"), [file, own], lambda: compared(task, answers(file, task), answers(own, task))
        ),
    }
    if (time := timed(file, own, task, rounds)) is not None:
        result["time"] = time
    return result
