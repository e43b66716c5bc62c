"""How often `edgewright bench compare` calls a regression where there is none, and how often it finds one that is there.

Times: pairs of files with the same weights, and pairs of which HEAD has one more layer: an eighth more work, about a tenth
more time (no sleep). Accuracy: pairs of classifiers whose answers differ on some samples, with a true loss of nothing, of
exactly what the rule allows, and of one point more; samples are drawn anew for each pair. Every pair is a whole comparison of
two files on disk. Results are written after each pair, so an interrupted run goes on.

    python -m benchmarks.compare_power [--pairs 200] [--rule 'p50_ms > +5%'] [--only times|accuracy] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from edgewright.calibration.opening import open_dataset
from edgewright.core.files import write_atomic
from edgewright.optimizer.compare.compare import Request, compare_builds
from edgewright.optimizer.compare.finding import Comparison
from edgewright.optimizer.compare.rules import parse_rules
from edgewright.stats.paired import proportion_bounds
from numpy.typing import NDArray

RESULTS = Path(__file__).parent / "results" / "compare_power.json"
LAYERS, WIDTH, BATCH = 8, 128, 8
ACCURACY_RULE, SAMPLES, CLASSES, FLIPS = "top1 < -0.5pt", 10_000, 10, 0.04
LOSSES = {"none": 0.0, "at the threshold": 0.005, "planted": 0.015}
_RULES = ("p50_ms > +5%", "p90_ms > +5%")


def layers_model(layers: int) -> bytes:
    """`layers` products of [8, 128] with [128, 128], each with a ReLU."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    generator = np.random.default_rng(0)
    nodes, weights, last = [], [], "x"
    for index in range(layers):
        values = (generator.standard_normal((WIDTH, WIDTH)) / WIDTH**0.5).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"w{index}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{index}"], [f"m{index}"]))
        last = "y" if index == layers - 1 else f"r{index}"
        nodes.append(helper.make_node("Relu", [f"m{index}"], [last]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, WIDTH]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "layers", ends[:1], ends[1:], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def picking_model(offset: int) -> bytes:
    """A linear classifier whose scores are `CLASSES` of its inputs, from `offset` on, in batches of 50."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.zeros((2 * CLASSES, CLASSES), dtype=np.float32)
    weights[offset + np.arange(CLASSES), np.arange(CLASSES)] = 1
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [50, size])
        for name, size in (("x", 2 * CLASSES), ("y", CLASSES))
    ]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "picking", ends[:1], ends[1:], [numpy_helper.from_array(weights, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def drawn_answers(loss: float, seed: int) -> dict[str, NDArray[Any]]:
    """Inputs that hold both classifiers' scores: BASE is right on nine tenths, `FLIPS` flip, `loss` is the true loss."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, CLASSES, SAMPLES)
    lost, won = (FLIPS + loss) / 2, (FLIPS - loss) / 2
    outcome = generator.choice(4, SAMPLES, p=[0.9 - lost, lost, won, 0.1 - won])
    wrong = (labels + generator.integers(1, CLASSES, SAMPLES)) % CLASSES
    base, head = np.where(outcome <= 1, labels, wrong), np.where((outcome == 0) | (outcome == 2), labels, wrong)
    return {"x": np.concatenate([np.eye(CLASSES)[base], np.eye(CLASSES)[head]], axis=1).astype(np.float32), "y": labels}


def times_pair(folder: Path, rule: str, extra: int, seed: int) -> dict[str, Any]:
    """One comparison of two files, HEAD with `extra` layers more."""
    base, head = folder / "base.onnx", folder / "head.onnx"
    base.write_bytes(layers_model(LAYERS))
    head.write_bytes(layers_model(LAYERS + extra))
    return _told(compare_builds(Request(base, head, parse_rules([rule]), threads=1, seed=seed)))


def accuracy_pair(folder: Path, loss: float, seed: int) -> dict[str, Any]:
    """One comparison of two classifiers on samples of their own."""
    base, head = folder / "base.onnx", folder / "head.onnx"
    base.write_bytes(picking_model(0))
    head.write_bytes(picking_model(CLASSES))
    data = open_dataset(drawn_answers(loss, seed))
    return _told(compare_builds(Request(base, head, parse_rules([ACCURACY_RULE]), data=data, seconds=0, seed=seed)))


def _told(result: Comparison) -> dict[str, Any]:
    finding = next(item for item in result.findings if item.rule is not None)
    kept = ("interrupted_base", "interrupted_head", "is_disturbed", "pairs", "seconds")
    return {
        "status": finding.status,
        "measured": finding.measured,
        "low": finding.low,
        "high": finding.high,
        **{name: result.conditions[name] for name in kept if name in result.conditions},
        "load": round(os.getloadavg()[0], 1),
    }


def cases(rules: list[str], only: str | None) -> dict[str, Any]:
    """Name of each series: how to make its pair number n in a folder."""
    made: dict[str, Any] = {}
    if only in {None, "accuracy"}:
        for name, loss in LOSSES.items():
            made[f"{ACCURACY_RULE} | {name}"] = lambda folder, n, loss=loss: accuracy_pair(folder, loss, n)
    if only in {None, "times"}:
        for rule in rules:
            made[f"{rule} | identical"] = lambda folder, n, rule=rule: times_pair(folder, rule, 0, n)
            made[f"{rule} | planted"] = lambda folder, n, rule=rule: times_pair(folder, rule, 1, n)
    return made


def lines(kept: dict[str, list[dict[str, Any]]]) -> str:
    """JSON with a line a pair."""
    series = [f"{json.dumps(name)}: [\n" + ",\n".join(map(json.dumps, found)) + "\n]" for name, found in kept.items()]
    return "{\n" + ",\n".join(series) + "\n}\n"


def summary(name: str, found: list[dict[str, Any]]) -> str:
    """One line: how often each status, the share of regressions with its exact 95 % interval, and what was measured."""
    count = sum(item["status"] == "regression" for item in found)
    low, high = (float(end) for end in proportion_bounds(count, len(found), 0.025))
    statuses = {
        status: sum(item["status"] == status for item in found) for status in sorted({item["status"] for item in found})
    }
    seconds = [item["seconds"] for item in found if "seconds" in item]
    spent = f", {median(seconds):.1f} s a pair, {median(item['pairs'] for item in found):.0f} loads" if seconds else ""
    middle = median(item["measured"] for item in found)
    return f"{name}: regressions {count}/{len(found)} ({low:.1%} to {high:.1%}), measured {middle:+.2%}{spent}; {statuses}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--rule", action="append")
    parser.add_argument("--only", choices=("times", "accuracy"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    kept: dict[str, list[dict[str, Any]]] = json.loads(given.out.read_text()) if given.out.exists() else {}
    wanted = cases(given.rule or list(_RULES), given.only)
    with tempfile.TemporaryDirectory() as place:
        # Series take turns, so that what the machine does falls on all of them alike.
        for number in range(given.pairs):
            for name, pair in wanted.items():
                if len(kept.setdefault(name, [])) <= number:
                    kept[name].append(pair(Path(place), number))
                    write_atomic(given.out, lines(kept).encode())
            if number % 20 == 19:
                print(time.strftime("%H:%M:%S"), number + 1, flush=True)
    for name in wanted:
        print(summary(name, kept[name]))


if __name__ == "__main__":
    main()
