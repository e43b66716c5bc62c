"""Streams of files for magika: real files of this machine, of which less and less arrives, or whose bytes are overwritten."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.drift_worlds import Piece, Stream, piece

_EACH_ENDING = 160  # files
_HALF, _PADDING = 1024, 256  # a row is the first and the last bytes; 256 stands where there are none
_WINDOW, _QUIET, _SEVERITY_WINDOWS = 100, 4, 3
_KEPT = (_HALF, 256, 96, 48, 24, 12)  # bytes that arrive, by severity
_KNOWN = (0.6, 0.15, 0.1, 0.07, 0.05, 0.03)  # how often, where the model was released
_MORE = np.array([1, 1.5, 2.2, 3.3, 5, 7.5])
_ALWAYS = 0.2  # share of bytes that are overwritten
_OVERWRITTEN = (0, 0.05, 0.1, 0.2, 0.3, 0.4)  # share of the bytes, by severity


def magika_mix(cache: Path, seed: int = 0) -> Stream:
    """Files of which a fifth of the bytes is overwritten, here and in the reference; ever more of them are text."""
    answers, files = _magika(cache)
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(files["y"]))
    x, y = _overwritten(files["x"][order], _ALWAYS, draw), files["y"][order]
    is_text = ~(files["x"][order] == 0).any(axis=1)
    held = len(y) // 2
    windows = []
    for step in [0] * _QUIET + [step for step in range(1, len(_KEPT)) for _ in range(_SEVERITY_WINDOWS)]:
        weights = np.where(is_text[held:], 2.0**step, 1.0)
        chosen = held + draw.choice(len(y) - held, 2 * _WINDOW, replace=False, p=weights / weights.sum())
        windows.append(piece(answers, x[chosen], y[chosen], f"text times {2**step}"))
    return Stream("magika, more text", "covariate", piece(answers, x[:held], y[:held]), tuple(windows), _QUIET)


def magika_cut(cache: Path, seed: int = 0) -> Stream:
    """Of some files only the first bytes arrive, of ever more files and ever fewer: magika was taught whole ones."""

    def cut(x: NDArray[np.int32], step: int, draw: np.random.Generator) -> NDArray[np.int32]:
        shares = np.array(_KNOWN) * _MORE ** (step / 2.5)
        kept = draw.choice(_KEPT, len(x), p=shares / shares.sum())
        return np.stack([_first(row, int(bytes_kept)) for row, bytes_kept in zip(x, kept, strict=True)])

    return _stream("magika, cut files", "unseen", cache, cut, seed)


def magika_unseen(cache: Path, seed: int = 0) -> Stream:
    """Released on whole files; then bytes are overwritten at random, ever more of them."""

    def overwrite(x: NDArray[np.int32], step: int, draw: np.random.Generator) -> NDArray[np.int32]:
        return _overwritten(x, _OVERWRITTEN[step], draw)

    return _stream("magika, overwritten bytes", "unseen", cache, overwrite, seed)


def _stream(
    name: str,
    kind: Any,
    cache: Path,
    change: Callable[[NDArray[np.int32], int, np.random.Generator], NDArray[np.int32]],
    seed: int,
) -> Stream:
    answers, files = _magika(cache)
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(files["y"]))
    x, y = files["x"][order], files["y"][order]
    steps = [0] * _QUIET + [step for step in range(1, len(_KEPT)) for _ in range(_SEVERITY_WINDOWS)]
    held = len(y) - _WINDOW * 8
    windows: list[Piece] = []
    rest = np.empty(0, np.int64)
    for step in steps:
        if len(rest) < _WINDOW:
            rest = held + draw.permutation(len(y) - held)
        chosen, rest = rest[:_WINDOW], rest[_WINDOW:]
        windows.append(piece(answers, change(x[chosen], step, draw), y[chosen], f"severity {step}"))
    reference = piece(answers, change(x[:held], 0, draw), y[:held])
    return Stream(name, kind, reference, tuple(windows), _QUIET)


def _overwritten(x: NDArray[np.int32], share: float, draw: np.random.Generator) -> NDArray[np.int32]:
    """Rows with a share of their bytes replaced by any."""
    is_hit = (draw.random(x.shape) < share) & (x < _PADDING)
    return np.where(is_hit, draw.integers(0, _PADDING, x.shape), x).astype(np.int32)


def _first(row: NDArray[np.int32], kept: int) -> NDArray[np.int32]:
    """The row of a file of which only the first bytes arrived; the first are then the last as well."""
    if kept >= _HALF:
        return row
    cut = np.full_like(row, _PADDING)
    cut[:kept] = cut[len(row) - kept :] = row[:kept]
    return cut


def _magika(cache: Path) -> tuple[Callable[[Any], Any], dict[str, NDArray[Any]]]:
    """What answers rows int32 [n, 2048], kept in `cache` since it takes its time, and files of this machine."""
    import onnxruntime

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "docs"))
    import demo

    source = demo.magika_model()
    labels = json.loads((source.parent / "config.min.json").read_text("utf-8"))["target_labels_space"]
    demo.FILES_PER_ENDING = _EACH_ENDING
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0].name

    def answers(x: NDArray[np.int32]) -> NDArray[np.float32]:
        kept = cache / f"magika-{hashlib.sha256(x.tobytes()).hexdigest()[:16]}.npy"
        if not kept.exists():
            found = [session.run(None, {given: x[at : at + 32]})[0] for at in range(0, len(x), 32)]
            np.save(kept, np.concatenate(found).astype(np.float32))
        return np.asarray(np.load(kept))

    return answers, demo.files_of_this_machine(labels)
