"""What a file is worth: its answers on the samples that judge, its metric with an interval, and both against the compiler's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from edgewright.core.errors import EdgewrightError
from edgewright.core.executor import Executor
from edgewright.runtimes.bench.batches import run_all
from edgewright.runtimes.bench.opening import load_model, open_model
from edgewright.stats.bootstrap import bca_bounds, indexed_statistic, mean_statistic
from edgewright.stats.paired import loss_bounds, proportion_bounds
from scipy.stats import rankdata

from benchmarks.peers.task import Task

_ALPHA = 0.025  # each side: intervals of 95 %
_RESAMPLES, _UNITS = 1000, 100


def executor_of(file: Path) -> Executor:
    """The file in its runtime, one thread; raises EdgewrightError."""
    return load_model(open_model(file), 1)


def fitted(executor: Executor, x: np.ndarray, file: Path) -> np.ndarray:
    """Samples as the file takes them: channels last where it was turned, integers of its scale where its input has one."""
    spec = executor.inputs[0]
    wanted = tuple(spec.shape[1:])
    if wanted != x.shape[1:] and x.ndim == 4 and wanted == (*x.shape[2:], x.shape[1]):
        x = np.moveaxis(x, 1, -1)
    if x.dtype.kind == "f" and np.dtype(spec.dtype).kind in "iu":
        scale, zero = _scales(file)[0]
        limits = np.iinfo(spec.dtype)
        x = np.clip(np.rint(x / scale) + zero, limits.min, limits.max)
    return np.ascontiguousarray(x, dtype=spec.dtype)


def _scales(file: Path) -> tuple[tuple[float, int], tuple[float, int]]:
    """Scale and zero point of the first input and output of a TFLite file whose ends are integers."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file))
    ends = (interpreter.get_input_details()[0], interpreter.get_output_details()[0])
    first, last = ((float(end["quantization"][0]), int(end["quantization"][1])) for end in ends)
    return first, last


def answers(file: Path, task: Task) -> np.ndarray:
    """First output [n, ...] on `accept`, kept beside the file; raises EdgewrightError."""
    known = file.parent / f"{file.stem}.answers.npy"
    if known.exists() and known.stat().st_mtime >= file.stat().st_mtime:
        return np.load(known)
    executor = executor_of(file)
    try:
        x = fitted(executor, task.x("accept"), file)
        raw = next(iter(run_all(executor, {executor.inputs[0].name: x}).values()))
        found = raw.astype(np.float64)
        if raw.dtype.kind in "iu" and file.suffix == ".tflite":
            scale, zero = _scales(file)[1]
            found = (found - zero) * scale
    finally:
        executor.close()
    np.save(known, found)
    return found


def reference(task: Task) -> np.ndarray:
    """The float model's answers, in ONNX Runtime."""
    return answers(task.path("onnx"), task)


def outcomes(task: Task, found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """What each sample counts: right or wrong, as the float model or not, or the cosine to its answer."""
    if task.metric == "top1":
        return (found.argmax(1) == task.data("accept")["y"]).astype(np.float64)
    if task.metric == "agreement":
        return (found.argmax(1) == wanted.argmax(1)).astype(np.float64)
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    return np.einsum("ij,ij->i", found, wanted) / np.maximum(lengths, 1e-30)


def kept(path: Path, of: Iterable[Path], work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work` gives, from `path` where that is newer than all files that it was made `of`."""
    if path.exists() and all(path.stat().st_mtime >= file.stat().st_mtime for file in of):
        known: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return known
    made = work()
    path.write_text(json.dumps(made), "utf-8")
    return made


def judge(task: Task, found: np.ndarray) -> dict[str, float]:
    """`value` of the metric with `low` and `high`, the float model's value, and the share of the same top class."""
    wanted = reference(task)
    result = {"n": len(found), "float": _value(task, wanted, wanted)}
    if task.metric in {"top1", "agreement"}:
        each = outcomes(task, found, wanted)
        low, high = proportion_bounds(each.sum(), len(each), _ALPHA)
        result |= {"value": float(each.mean()), "low": float(low), "high": float(high)}
    elif task.metric == "cosine":
        each = outcomes(task, found, wanted)
        bounds = bca_bounds(mean_statistic(each), np.ones(len(each)), _ALPHA, seed=0, resamples=_RESAMPLES)
        result |= {"value": bounds.estimate, "low": bounds.low, "high": bounds.high}
    else:
        errors, labels = _errors(task, found), task.data("accept")["y"]
        result |= _resampled(lambda rows: _auc(errors[rows], labels[rows]), len(found))
    if found.ndim == 2 and task.metric in {"top1", "agreement"}:
        result["agreement"] = float((found.argmax(1) == wanted.argmax(1)).mean())
    return result


def compared(task: Task, theirs: np.ndarray, ours: np.ndarray) -> dict[str, float]:
    """How much better theirs is than ours (`gain`), with the 95 % interval of the same samples."""
    wanted = reference(task)
    if task.metric in {"top1", "agreement"}:
        a, b = outcomes(task, theirs, wanted), outcomes(task, ours, wanted)
        lost, won = float(((a == 0) & (b == 1)).sum()), float(((a == 1) & (b == 0)).sum())
        low, high = loss_bounds(won, lost, len(a), _ALPHA)
        return {"gain": float(a.mean() - b.mean()), "low": float(low), "high": float(high)}
    if task.metric == "cosine":
        each = outcomes(task, theirs, wanted) - outcomes(task, ours, wanted)
        bounds = bca_bounds(mean_statistic(each), np.ones(len(each)), _ALPHA, seed=0, resamples=_RESAMPLES)
        return {"gain": bounds.estimate, "low": bounds.low, "high": bounds.high}
    one, other, labels = _errors(task, theirs), _errors(task, ours), task.data("accept")["y"]
    found = _resampled(lambda rows: _auc(one[rows], labels[rows]) - _auc(other[rows], labels[rows]), len(ours))
    return {"gain": found["value"], "low": found["low"], "high": found["high"]}


def _value(task: Task, found: np.ndarray, wanted: np.ndarray) -> float:
    if task.metric != "auc of error":
        return float(outcomes(task, found, wanted).mean())
    return _auc(_errors(task, found), task.data("accept")["y"])


def _errors(task: Task, found: np.ndarray) -> np.ndarray:
    """Squared error [n] of what an autoencoder rebuilds."""
    return np.square(found - task.x("accept")).sum(axis=1)


def _auc(errors: np.ndarray, labels: np.ndarray) -> float:
    """The chance that a sample of class 1 has a larger error than one of class 0; 0.5 where a class is missing."""
    others = labels == 1
    count = int(others.sum())
    if count in {0, len(labels)}:
        return 0.5
    ranks = rankdata(errors)
    return float((ranks[others].sum() - count * (count + 1) / 2) / (count * (len(labels) - count)))


def _resampled(function: Any, n: int) -> dict[str, float]:
    bounds = bca_bounds(indexed_statistic(function, n), np.ones(n), _ALPHA, seed=0, resamples=_RESAMPLES, jackknife_units=100)
    return {"value": bounds.estimate, "low": bounds.low, "high": bounds.high}


def refused(error: EdgewrightError) -> str:
    """Why a file that was made cannot be run, in a line."""
    return f"its file does not run: {json.dumps(' '.join(str(error).split())[:160])}"
