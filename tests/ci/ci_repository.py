"""The scratch repository, and changes of its model: one that loses accuracy, one that is slow, one that is large."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

DECLARATION = """\
model = "digits.onnx"
data = "data.npz"
profiles = ["arm64-linux"]
gates = ["top1 >= -3pt"]
runtimes = ["onnxruntime"]
precisions = ["float32"]
search-samples = 64
calib-samples = 32
"""
Change = Callable[[onnx.ModelProto], None]


class Repository:
    """`base` is the commit with the model as it is."""

    def __init__(self, folder: Path, model: Path, data: Path) -> None:
        self.folder = folder
        shutil.copy(model, folder / "digits.onnx")
        with np.load(data) as file:
            x, y = file["x"], file["y"]
        np.savez(folder / "data.npz", x=x[:600], y=y[:600])
        np.savez(folder / "test.npz", x=x[600:], y=y[600:])
        (folder / "edgewright.toml").write_text(DECLARATION)
        (folder / ".gitignore").write_text(".edgewright/\ndist/\nedgewright-reports/\n*.ledger.jsonl\n")
        self.git("init", "-q", "-b", "main")
        self.base = self.commit()

    def git(self, *arguments: str) -> str:
        """What git answers."""
        who = ["-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *who, *arguments], cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self) -> str:
        """Commit all; the commit's name."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "a change")
        return self.git("rev-parse", "HEAD")

    def change(self, change: Change) -> None:
        """A branch upon the base whose model was changed."""
        self.git("checkout", "-q", "-f", "-B", "change", self.base)
        model = onnx.load(self.folder / "digits.onnx")
        change(model)
        onnx.save(model, self.folder / "digits.onnx")
        self.commit()


def harmless(model: onnx.ModelProto) -> None:
    """Another name and nothing else."""
    model.graph.name = "digits-again"


def inaccurate(model: onnx.ModelProto) -> None:
    """Two of ten classes are never answered."""
    head = next(item for item in model.graph.initializer if item.name == "bias")
    bias = numpy_helper.to_array(head).copy()
    bias[[3, 8]] -= 1000
    head.CopyFrom(numpy_helper.from_array(bias, "bias"))


def slow(model: onnx.ModelProto) -> None:
    """Twelve pairs of convolutions with the weights that are there, whose result changes no answer."""
    nodes, last = [], "r"
    for number in range(12):
        back, bounded, last = f"back{number}", f"bounded{number}", f"again{number}"
        nodes += [
            helper.make_node("ConvTranspose", [f"again{number - 1}" if number else "r", "w"], [back], pads=[1, 1, 1, 1]),
            helper.make_node("Tanh", [back], [bounded]),
            helper.make_node("Conv", [bounded, "w"], [last], pads=[1, 1, 1, 1]),
        ]
    nodes += [
        helper.make_node("Mul", [last, "tiny"], ["lost"]),
        helper.make_node("Add", ["r", "lost"], ["r2"]),
    ]
    _between(model, "pool", "r2", nodes)


def large(model: onnx.ModelProto) -> None:
    """A table of a megabyte of which one value is looked up, and changes no answer."""
    table = np.random.default_rng(2).normal(0, 1, (250_000, 1)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(table, "table"))
    nodes = [
        helper.make_node("ArgMax", ["f"], ["place"], axis=1, keepdims=0),
        helper.make_node("Gather", ["table", "place"], ["found"]),
        helper.make_node("Mul", ["found", "tiny"], ["lost"]),
        helper.make_node("Add", ["f", "lost"], ["f2"]),
    ]
    _between(model, "head", "f2", nodes)


def _between(model: onnx.ModelProto, before: str, feeds: str, nodes: list[onnx.NodeProto]) -> None:
    """Put nodes before the one named `before`, which then takes `feeds` for its first input."""
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.float32(1e-9), "tiny"))
    place = next(number for number, node in enumerate(graph.node) if node.name == before)
    graph.node[place].input[0] = feeds
    for offset, node in enumerate(nodes):
        graph.node.insert(place + offset, node)
