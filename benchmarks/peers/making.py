"""One tool on one model in a process of its own: its file, how long it took, how much memory; kept, so that it is done once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil

from benchmarks.peers.environment import HOME, REQUIREMENTS, ROOT, python_of
from benchmarks.peers.registry import OURS, Peer
from benchmarks.peers.task import Cannot, Task

_LIMIT_S = 1800.0
_EVERY_S = 0.1


def folder_of(peer: Peer, task: Task, work: Path) -> Path:
    return work / "made" / task.name / peer.name.replace(" ", "-").replace(",", "").replace("'", "").lower()


def make(peer: Peer, task: Task, work: Path, *, retry: bool = False) -> dict[str, Any]:
    """What came of it: `file`, `bytes`, `seconds`, `cpu_seconds`, `peak_bytes`; or `why` there is no file.

    What was made before is taken again, unless it failed and `retry` is asked for.
    """
    out = folder_of(peer, task, work)
    record, key = out / "made.json", _key(peer, task)
    if record.exists():
        known: dict[str, Any] = json.loads(record.read_text("utf-8"))
        if known["key"] == key and not (retry and "why" in known):
            return known
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    made = {**_made(peer, task, out), "key": key}
    record.write_text(json.dumps(made, indent=1), "utf-8")
    return made


def _made(peer: Peer, task: Task, out: Path) -> dict[str, Any]:
    try:
        task.path(*peer.takes)
    except Cannot as error:
        return {"why": str(error)}
    python = Path(sys.executable) if peer.environment == OURS else python_of(peer.environment)
    return {"why": python} if isinstance(python, str) else _run(peer, task, out, python)


def _key(peer: Peer, task: Task) -> str:
    """Changes with the tool, its requirements and the task."""
    requirements = REQUIREMENTS / f"{peer.environment}.txt"
    parts = [
        json.dumps([peer.name, peer.way, *peer.takes]),
        (Path(__file__).parent / "tools" / f"{peer.tool}.py").read_text("utf-8"),
        requirements.read_text("utf-8") if requirements.exists() else "",
        (task.folder / "task.json").read_text("utf-8"),
        (task.folder / "stamp.json").read_text("utf-8"),
    ]
    return sha256("\0".join(parts).encode()).hexdigest()


def _run(peer: Peer, task: Task, out: Path, python: Path) -> dict[str, Any]:
    path = HOME / "path"  # `benchmarks` without the project's other folders, whose names are common
    path.mkdir(parents=True, exist_ok=True)
    link = path / "benchmarks"
    if not link.is_symlink():
        link.symlink_to(ROOT / "benchmarks")
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), "1")
    environment |= {"PYTHONPATH": str(path), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", **threads}
    environment["PATH"] = f"{python.parent}{os.pathsep}{environment['PATH']}"
    command = [
        str(python),
        "-m",
        f"benchmarks.peers.tools.{peer.tool}",
        str(task.folder.resolve()),
        str(out.resolve()),
        peer.way,
    ]
    start = time.perf_counter()
    with (out / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, cwd=out, env=environment, stdout=log, stderr=subprocess.STDOUT)
        peak: list[int] = [0]
        watch = threading.Thread(target=_watch, args=(process.pid, start, peak), daemon=True)
        watch.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    watch.join()
    result = out / "result.json"
    took = {
        "process_seconds": time.perf_counter() - start,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": peak[0],
    }
    if not result.exists():
        lines = (out / "log.txt").read_text("utf-8", "replace").strip().splitlines() or [""]
        why = f"took longer than {_LIMIT_S:.0f} s" if took["process_seconds"] > _LIMIT_S else f"ended: {lines[-1][:160]}"
        return {"why": why, **took}
    made: dict[str, Any] = {**json.loads(result.read_text("utf-8")), **took}
    if "file" in made:
        made["bytes"] = file_bytes(out / made["file"])
    return made


def file_bytes(file: Path) -> int:
    """Bytes of a model file with the weights beside it."""
    beside = {file, file.with_suffix(".bin"), Path(f"{file}.data")}
    return sum(part.stat().st_size for part in beside if part.exists())


def _watch(pid: int, start: float, peak: list[int]) -> None:
    """The largest sum of resident memory over the process and its children; ends what takes too long."""
    try:
        process = psutil.Process(pid)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            family = [process, *process.children(recursive=True)]
            peak[0] = max(peak[0], sum(_resident(member) for member in family))
            if time.perf_counter() - start > _LIMIT_S:
                for member in family:
                    member.kill()
            time.sleep(_EVERY_S)
    except psutil.NoSuchProcess:
        return


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
