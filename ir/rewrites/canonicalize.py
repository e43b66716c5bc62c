"""`canonicalize`: one opset, known shapes, constants folded, nothing superfluous, one spelling for each computation."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir
from onnx_ir.passes import common
from onnxscript.optimizer import fold_constants_ir
from onnxscript.rewriter import RewritePass

from ...core.errors import ModelError
from .. import serde
from ..model import Model, constant
from ..passes import PassResult, stamp
from .erfc import express_erfc
from .forms import fresh, prefer_forms
from .merge import merge_constants
from .patterns import replace_patterns
from .rules import rules
from .strip import strip_in_place

_MAX_ROUNDS = 10
# Folding may read any constant, but what it makes may be larger than what it was made from by at most this many elements.
_MAX_GROWTH = 1 << 18

# Operators whose result can be larger than what they read.
_GROWING = ("Expand", "Tile", "Range", "Pad", "Resize", "OneHot", "Upsample", "ConstantOfShape", "Gather")


@dataclass(frozen=True)
class Canonicalize:
    """Bring a model to the form that every later pass and every runtime expects. Batch norm stays whole.

    Before::

        s = Shape(x); b = Gather(s, 0); t = Concat(b, -1); w = Constant(); i = Identity(x)
        c = Conv(i, w); p = ReduceMean{axes=(2, 3)}(c); y = Reshape(p, t)

    After::

        c = Conv(x, @w); p = GlobalAveragePool(c); y = Reshape(p, @shape)
    """

    name: ClassVar[str] = "canonicalize"
    needs: ClassVar[None] = None

    def run(self, model: Model, given: None = None) -> PassResult:
        """Canonicalize a copy of `model`; raises ModelError when its opset cannot be converted or it is in training mode."""
        before = model.digest()
        result = canonical(model)
        return PassResult(result, result.digest() != before)


def canonical(model: Model, made_by: str = Canonicalize.name) -> Model:
    """The canonical form of `model`, its new nodes stamped with `made_by`."""
    check_inference(model)
    with _quiet():
        outputs = [str(value.name) for value in model.graph.outputs]
        graph = _flattened(model)
        source = {(node.name, node.op_type) for node in graph.graph}
        graph = serde.convert_opset(graph)
        _fix_point(graph)
        _finish(graph)
        _name_outputs(graph.graph, outputs)
    result = Model(graph)
    stamp((node for node in result.graph if (node.name, node.op_type) not in source), made_by)
    return result


def check_inference(model: Model) -> None:
    """Raise ModelError when a batch norm or dropout is in training mode: its output depends on the batch or on luck."""
    for node in onnx_ir.traversal.RecursiveGraphIterator(model.graph):
        is_training = False
        if node.op_type == "BatchNormalization":
            is_training = bool(node.attributes.get_int("training_mode", 0))
        elif node.op_type == "Dropout" and len(node.inputs) > 2:
            mode, ratio = constant(node.inputs[2]), constant(node.inputs[1])
            is_training = (mode is None or bool(mode.any())) and (ratio is None or bool(ratio.any()))
        if is_training:
            raise ModelError(
                f"the node {node.name!r} ({node.op_type}) is in training mode; export it for inference (torch: model.eval())."
            )


def _flattened(model: Model) -> onnx_ir.Model:
    """A copy without functions, with weights that are no inputs, every node named and every shape that is known."""
    graph = model.clone().ir
    # Old files list weights as inputs too, which would keep them from being folded.
    common.RemoveInitializersFromInputsPass()(graph)
    # The converters look only at the main graph.
    common.InlinePass()(graph)
    graph.functions.clear()
    common.RemoveUnusedOpsetsPass()(graph)
    common.NameFixPass()(graph)
    # Before the checker and the shapes: an operator that ONNX does not know stops both.
    express_erfc(graph.graph)
    # Files may leave the shapes of outputs out, which the converters and the checker do not accept.
    _infer(graph)
    return graph


def _fix_point(model: onnx_ir.Model) -> None:
    """Repeat the group until nothing changes: each member makes work for the others."""
    for _ in range(_MAX_ROUNDS):
        # Folding first: the rules match on constants and on the shapes that it infers on its way.
        folded = fold_constants_ir(
            model,
            onnx_shape_inference=True,
            input_size_limit=serde.MAX_MODEL_BYTES,
            output_size_limit=_MAX_GROWTH,
            should_fold=_may_fold,
        )
        changed = bool(folded.modified)
        # Constants become weights before the rules run: some of these match only weights.
        changed |= _lift(model)
        changed |= bool(RewritePass(rules())(model).modified)
        _adopt(model.graph)
        changed |= _lift(model)
        _contiguous(model.graph)
        common.NameFixPass()(model)
        changed |= prefer_forms(model.graph)
        # After the forms: patterns are looked for in one spelling only, and their readers are counted, so that the dead
        # nodes of this round wait for the next.
        changed |= replace_patterns(model.graph)
        changed |= bool(common.IdentityEliminationPass()(model).modified)
        changed |= bool(common.RemoveUnusedNodesPass()(model).modified)
        # After the dead nodes are gone, so that a living node is never replaced by a dead one; equal constants become one
        # first, since nodes are equal only when they read the same value.
        changed |= merge_constants(model.graph)
        changed |= bool(common.CommonSubexpressionEliminationPass()(model).modified)
        # Infers what folding cannot, node by node: through the whole graph, with the values of shapes.
        _infer(model)
        if not changed:
            return


def _may_fold(node: onnx_ir.Node) -> bool | None:
    """False for what would be too large, before it is computed: a short Expand can ask for all memory; else None."""
    made = node.outputs[0].shape
    if made is None or not made.is_static():
        return False if node.op_type in _GROWING else None
    given = sum(value.const_value.size for value in node.inputs if value is not None and value.const_value is not None)
    return False if math.prod(made.numpy()) > given + _MAX_GROWTH else None


def _adopt(graph: onnx_ir.Graph) -> None:
    """Register weights that share their name with another: two applications of a rule to one value name theirs alike."""
    for node in graph:
        for value in node.inputs:
            if value is None or value.const_value is None or value.producer() is not None or value.is_graph_input():
                continue
            if graph.initializers.get(str(value.name)) is not value:
                value.name = fresh(graph, str(value.name))
                graph.register_initializer(value)


def _contiguous(graph: onnx_ir.Graph) -> None:
    """Folded transposes are views; the pass that compares weights by their bytes wants them laid out."""
    for name, value in graph.initializers.items():
        array = constant(value)
        if array is not None and not array.flags.c_contiguous:
            value.const_value = onnx_ir.tensor(np.asarray(array, order="C"), name=name)


def _infer(model: onnx_ir.Model) -> None:
    common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)


def _lift(model: onnx_ir.Model) -> bool:
    return bool(common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model).modified)


def _finish(model: onnx_ir.Model) -> None:
    """Order, names and symbols that depend on nothing but the graph."""
    common.RemoveUnusedOpsetsPass()(model)
    # An output that is an input, a weight or another output gets an Identity, which the runtimes want.
    common.OutputFixPass()(model)
    common.TopologicalSortPass()(model)
    common.NameFixPass()(model)
    name_free_sizes(model)
    # Sizes that had symbols of their own are those of the inputs after all; what inference invents is forgotten again.
    _infer(model)
    name_free_sizes(model)
    strip_in_place(model)


def _name_outputs(graph: onnx_ir.Graph, names: list[str]) -> None:
    """Give outputs the names back that they came with, which those lose that become the same value as another."""
    changed = [(value, name) for value, name in zip(graph.outputs, names, strict=True) if value.name != name]
    if not changed:
        return
    made = [value for node in graph for value in node.outputs]
    taken = {str(value.name) for value in (*graph.inputs, *graph.initializers.values(), *made)} | set(names)
    aside = (name for count in itertools.count() if (name := f"inner_{count}") not in taken)
    for value, _ in changed:
        value.name = next(aside)
    for value, name in changed:
        for other in (*graph.initializers.values(), *made):
            if other.name == name:
                is_weight = graph.initializers.pop(name, None) is other
                other.name = next(aside)
                if is_weight:
                    graph.register_initializer(other)
        value.name = name


def name_free_sizes(model: onnx_ir.Model) -> None:
    """Name a free first axis `batch`, other free axes of inputs after input and axis; forget symbols from counters."""
    names: dict[str, str] = {}
    for value in model.graph.inputs:
        sizes: list[int | onnx_ir.SymbolicDim | str | None] = list(value.shape or ())
        for axis, size in enumerate(sizes):
            if isinstance(size, int):
                continue
            old = size.value if isinstance(size, onnx_ir.SymbolicDim) else None
            name = names.get(old or "") or ("batch" if axis == 0 else f"{value.name}_{axis}")
            if old:
                names[old] = name
            sizes[axis] = name
        if value.shape is not None:
            value.shape = onnx_ir.Shape(sizes)
    inputs = set(model.graph.inputs)
    for node in onnx_ir.traversal.RecursiveGraphIterator(model.graph):
        for value in node.outputs:
            if value.shape is not None and value not in inputs:
                value.shape = onnx_ir.Shape(
                    [size if isinstance(size, int) else names.get(size.value or "") for size in value.shape]
                )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries from logging that a rule did not apply."""
    loggers = [logging.getLogger(name) for name in ("onnx_ir", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
