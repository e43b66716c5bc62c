"""The parity check: the source framework's answers against the model's in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ModelError, ParityError
from ...core.executor import TensorSpec
from ...core.freeing import give_back
from ...runtimes.inputs import first_line
from .samples import Samples, fixed_batch

TOLERANCE = 1e-4
# A source that computes in eight bits rounds in places of its own; each rounding is up to 1/256 of a tensor's range.
EIGHT_BIT_TOLERANCE = 0.1
# Below this the answers of all samples are zero for every purpose.
_TINY = 1e-12


@dataclass(frozen=True)
class Parity:
    """How far the model is from its source over `n` samples.

    `max_abs`: largest absolute difference of any output. `max_rel`: the same divided by the largest absolute value of that
    output in the source. `ok`: every difference is at most 1e-4 times (the element's value plus the output's largest), or
    0.1 times where the source computes in eight bits.
    """

    max_abs: float
    max_rel: float
    n: int
    ok: bool

    def to_json(self) -> dict[str, Any]:
        """JSON object with the four fields."""
        return {"max_abs": self.max_abs, "max_rel": self.max_rel, "n": self.n, "ok": self.ok}


def run_onnx(model: bytes | str, inputs: Samples, specs: Sequence[TensorSpec]) -> dict[str, NDArray[Any]]:
    """Outputs of ONNX bytes (or of the file at a path) in ONNX Runtime, in batches of the model's size; raises ModelError."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    # Weights in a kernel's own order pay off over many runs; until they are in it they stand there twice.
    options.add_session_config_entry("session.disable_prepacking", "1")
    # The later fusions round differently; what is checked here is the graph, not them.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        give_back()
        names = [output.name for output in session.get_outputs()]
        batch = fixed_batch(specs)
        count = len(next(iter(inputs.values()))) if inputs else 1
        parts: list[list[NDArray[Any]]] = []
        for start in range(0, count, batch or count):
            piece = {name: array[start : start + (batch or count)] for name, array in inputs.items()}
            parts.append([np.asarray(value) for value in session.run(names, piece)])
    except Exception as error:
        raise ModelError(
            f"ONNX Runtime cannot run the model: {first_line(error)}; export it again with ONNX's own operators."
        ) from error
    return {
        name: np.concatenate([part[index] for part in parts]) if len(parts) > 1 else parts[0][index]
        for index, name in enumerate(names)
    }


def compare(
    reference: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any]], n: int, tolerance: float = TOLERANCE
) -> Parity:
    """Figures of `found` against `reference` (arrays by output name); raises ParityError naming the largest difference."""
    max_abs = max_rel = 0.0
    for name, expected in reference.items():
        got = found[name]
        if expected.shape != got.shape:
            raise ParityError(
                f"the output {name!r} has the shape {expected.shape} in the source and {got.shape} after ingest; "
                "export the model to ONNX yourself and give that."
            )
        if expected.size == 0:
            continue
        largest, relative, where, is_ok = _difference(expected, got, tolerance)
        if not is_ok:
            sample = int(np.unravel_index(where, expected.shape)[0]) if expected.ndim else 0
            raise ParityError(
                f"the ingested model answers differently from its source: output {name!r}, sample {sample}, difference "
                f"{largest:.3g} where the source says {expected.ravel()[where]:.6g}; export it to ONNX yourself."
            )
        max_abs, max_rel = max(max_abs, largest), max(max_rel, relative)
    return Parity(max_abs, max_rel, n, True)


def _difference(expected: NDArray[Any], got: NDArray[Any], tolerance: float) -> tuple[float, float, int, bool]:
    """Largest difference, the same relative to the output's scale, its flat index, and whether all are in tolerance."""
    if expected.dtype.kind not in "fiub":
        equal = expected == got
        return float(not equal.all()), float(not equal.all()), int(np.argmin(equal)), bool(equal.all())
    left, right = expected.astype(np.float64), got.astype(np.float64)
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    with np.errstate(invalid="ignore"):
        gap = np.where(same, 0.0, np.abs(left - right))
    gap = np.where(np.isnan(gap), np.inf, gap)
    where = int(np.argmax(gap))
    finite = np.abs(left[np.isfinite(left)])
    scale = max(float(finite.max()) if finite.size else 0.0, _TINY)
    if expected.dtype.kind == "f":
        allowed = tolerance * (scale + np.where(np.isfinite(left), np.abs(left), 0.0))
    else:
        # Eight-bit outputs are rounded after float arithmetic: a last bit may fall the other way. Their range is 255 wide.
        is_byte = expected.dtype.itemsize == 1 and expected.dtype.kind in "iu"
        allowed = np.full(left.shape, max(1.0, tolerance * 255) if is_byte else 0.0)
    return float(gap.max()), float(gap.max()) / scale, where, bool((gap <= allowed).all())


def check_alone(model: bytes | str, inputs: Samples, outputs: Mapping[str, NDArray[Any]], specs: Sequence[TensorSpec]) -> None:
    """Raise ModelError when the first sample's answer depends on the samples beside it, as in training mode."""
    if fixed_batch(specs) is not None or not inputs:
        return
    alone = run_onnx(model, {name: array[:1] for name, array in inputs.items()}, specs)
    count = len(next(iter(inputs.values())))
    for name, together in outputs.items():
        if not together.size or together.shape[:1] != (count,) or alone[name].shape != together[:1].shape:
            continue
        if not _difference(together[:1], alone[name], TOLERANCE)[3]:
            raise ModelError(
                f"the output {name!r} of a sample depends on the other samples of its batch; "
                "export the model for inference (torch: model.eval(), track_running_stats=True)."
            )
