"""`GraphModule`: the graph as a torch module, whose parameters are the graph's weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import onnx_ir
import torch
from numpy.typing import NDArray
from torch import nn

from ...core.errors import DataError, ModelError, UsageError, unknown
from ...ir.model import Model
from .batch_norm import batch_norm
from .fusion import fuse
from .operators.reading import Operator
from .operators.table import OPERATORS
from .plan import Call, Hook, Plan, make_plan
from .trainable import trainable

_STATISTICS = (3, 4)
_DOMAINS = ("", "ai.onnx")


class GraphModule(nn.Module):  # type: ignore[misc]
    """Interprets a model in training form (`training_form`): its first axes are batches of any size.

    Initializers that are trained (`trainable`) are parameters, statistics of batch norms are buffers, and so are all other
    constants. Tensors live where the module was moved to; nothing in a forward pass goes through numpy.
    """

    def __init__(self, model: Model, *, operators: Mapping[str, Operator] | None = None) -> None:
        """Interpret `model`; `operators` override or extend the known ones by operator type.

        Raises ModelError for an operator that is not known, and for a model that cannot be trained.
        """
        super().__init__()
        self.freeze_batch_norm = False
        self.batch_weight: float | None = None
        self._model = model
        self._own = dict(operators or {})
        self._keys: dict[str, str] = {}
        self._hooks: dict[str, list[Hook]] = {}
        self._plans: dict[frozenset[str], Plan] = {}
        _check_known(model, {**OPERATORS, **self._own})
        self._register(frozenset(trainable(model, self._own)))

    def forward(self, inputs: Mapping[str, Any], keep: Collection[str] = ()) -> dict[str, Any]:
        """The graph's outputs, and the values named in `keep`, by name, for a batch of inputs by name.

        Raises DataError when an input is missing, UsageError when `keep` names no value of the graph.
        """
        wanted = frozenset(keep)
        plan = self._plans.get(wanted)
        if plan is None:
            plan = self._plans[wanted] = make_plan(self._model.graph, self._calls(wanted), self._hooks, wanted)
        values: list[Any] = [None] * plan.size
        for place, name in plan.inputs:
            if name not in inputs:
                raise DataError(f"the batch has no input {name!r}; it has {', '.join(sorted(inputs)) or 'none'}.")
            values[place] = inputs[name]
        parameters, buffers, keys = self._parameters, self._buffers, self._keys
        for place, name in plan.weights:
            key = keys[name]
            values[place] = parameters[key] if key in parameters else buffers[key]
        return plan.run(values)

    def tensor(self, name: str) -> Any:
        """The parameter or buffer of the initializer `name`; raises UsageError."""
        if name not in self._keys:
            raise UsageError(unknown("initializer", name, self._keys))
        return getattr(self, self._keys[name])

    def trainable(self) -> Mapping[str, nn.Parameter]:
        """The parameters by initializer's name: weights, biases, gains and shifts of normalizations, embeddings."""
        return {name: self._parameters[key] for name, key in self._keys.items() if key in self._parameters}

    def add_hook(self, value: str, hook: Hook) -> None:
        """Let every reader of `value` (of a node, an input or an initializer) see `hook(value)`, results included.

        Hooks of one value run in the order in which they were added, once a forward pass. A hook that is a module becomes a
        part of this one. Raises UsageError when the graph has no such value.
        """
        names = {str(made.name) for node in self._model.graph for made in node.outputs}
        names |= {str(given.name) for given in self._model.graph.inputs} | set(self._keys)
        if value not in names:
            raise UsageError(unknown("value", value, names))
        hooks = self._hooks.setdefault(value, [])
        if isinstance(hook, nn.Module):
            self.add_module(f"hook/{_key(value)}/{len(hooks)}", hook)
        hooks.append(hook)
        self._plans.clear()

    def to_model(self) -> Model:
        """The same graph with the tensors of this module; those that did not change keep their bytes. Hooks leave no trace."""
        result = self._model.clone()
        for name, key in self._keys.items():
            value = result.graph.initializers[name]
            before = value.const_value
            if before is None or key in self._non_persistent_buffers_set:
                continue
            array = _array(getattr(self, key), before.numpy().dtype)
            if array.tobytes() != before.tobytes():
                value.const_value = onnx_ir.tensor(array, name=name)
        return result

    def __deepcopy__(self, memo: dict[int, Any]) -> GraphModule:
        """A copy with tensors and hooks of its own; plans are made anew: their functions ask the module they belong to."""
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        memo[id(self._model)] = self._model
        kept = {name: item for name, item in self.__dict__.items() if name != "_plans"}
        copied.__dict__.update(copy.deepcopy(kept, memo))
        copied._plans = {}
        return copied

    def _register(self, trained: Collection[str]) -> None:
        graph = self._model.graph
        statistics = {node.inputs[place] for node in graph if node.op_type == "BatchNormalization" for place in _STATISTICS}
        for name, value in graph.initializers.items():
            if not value.uses() and not value.is_graph_output():
                continue
            key = self._keys[name] = self._free_key(name)
            tensor = _tensor(value)
            if name in trained:
                self.register_parameter(key, nn.Parameter(tensor))
            else:
                self.register_buffer(key, tensor, persistent=value in statistics)

    def _free_key(self, name: str) -> str:
        """A name that torch accepts and no other initializer has."""
        key, number = f"@{_key(name)}", 1
        while hasattr(self, key):
            key, number = f"@{_key(name)}:{number}", number + 1
        return key

    def _calls(self, keep: Collection[str]) -> list[Call]:
        table = {**OPERATORS, "BatchNormalization": batch_norm(self), **self._own}
        nodes = list(self._model.graph)
        calls = [Call(table[node.op_type](node), tuple(node.inputs), tuple(node.outputs)) for node in nodes]
        return fuse(nodes, calls, {*keep, *self._hooks}, self._own)


def _key(name: str) -> str:
    return name.replace(".", "/")


def _check_known(model: Model, table: Mapping[str, Callable[..., Any]]) -> None:
    for node in model.graph:
        if node.op_type not in table or node.domain not in _DOMAINS:
            domain = f"{node.domain}::" if node.domain not in _DOMAINS else ""
            raise ModelError(
                f"the node {node.name!r} cannot be trained: {domain}{node.op_type} is no operator that training knows; "
                "express it with other operators of ONNX."
            )


def _tensor(value: onnx_ir.Value) -> Any:
    if value.const_value is None or value.const_value.dtype == onnx_ir.DataType.STRING:
        raise ModelError(f"the initializer {value.name!r} holds no numbers; remove it from what is trained.")
    array = value.const_value.numpy()
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.astype(np.float32)).to(torch.bfloat16)
    if array.dtype.name in ("int4", "uint4"):
        array = array.astype(array.dtype.name.replace("4", "8"))
    return torch.from_numpy(np.array(array, order="C"))


def _array(tensor: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    plain = tensor.detach().cpu()
    plain = plain.float() if plain.dtype == torch.bfloat16 else plain
    return np.asarray(plain.contiguous().numpy(), dtype=dtype, order="C")
