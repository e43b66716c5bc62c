"""Which nodes run in int8, which tensors carry a scale, and which of them share one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import onnx_ir

from ...ir.model import Model, constant
from ...runtimes.contract import OperatorRule, Scheme

_BINARY = frozenset({"Add", "Mul", "Sub", "Div", "MatMul"})
_TABLE_READERS = frozenset({"Gather", "MatMul", "Gemm"})  # these in int8 too
_LEAST_TABLE = 1024  # numbers in a table from which on its bytes are worth rounding


@dataclass(frozen=True)
class Plan:
    """The outcome of planning one model for one scheme; nodes go by the name of their first output.

    `nodes`: int8 nodes, in graph order. `absorbed`: activation node -> the int8 node whose kernel does it. `tensors`: every
    tensor that gets QuantizeLinear and DequantizeLinear, with its group: tensors of one group share scale and zero point.
    `fixed`: groups whose (scale, signed zero point) the kernel demands. `kept`: float node -> why.
    """

    nodes: tuple[str, ...]
    absorbed: Mapping[str, str]
    tensors: Mapping[str, str]
    fixed: Mapping[str, tuple[float, int]]
    kept: Mapping[str, str]

    def members(self, group: str) -> list[str]:
        """Tensors of a group."""
        return [name for name, root in self.tensors.items() if root == group]


def layer(node: onnx_ir.Node) -> str:
    """The name that a node goes by: its first output's."""
    return str(node.outputs[0].name)


def activations(node: onnx_ir.Node, rule: OperatorRule) -> list[onnx_ir.Value]:
    """The inputs of `node` that get an activation's scale: data, and constants that are not weights."""
    if node.op_type == "Concat":
        indices: Iterable[int] = range(len(node.inputs))
    elif node.op_type in _BINARY:
        indices = (0, 1)
    else:
        indices = (0,)
    given = [(index, node.inputs[index]) for index in indices if index < len(node.inputs)]
    weighted = weight_of(node, rule)
    return [value for _, value in given if value is not None and value is not weighted]


def weight_of(node: onnx_ir.Node, rule: OperatorRule) -> onnx_ir.Value | None:
    """The constant input that holds the node's weights, if its rule names one and it is constant."""
    if rule.weights is None or rule.weights >= len(node.inputs):
        return None
    value = node.inputs[rule.weights]
    return value if value is not None and constant(value) is not None else None


def is_lookup(node: onnx_ir.Node) -> bool:
    """Whether a node takes rows of a constant table, an embedding: int8 is a quarter of its bytes, whoever reads the rows.

    A table that others read as it is would be stored twice; rows that no sample decides have no statistics.
    """
    if node.op_type != "Gather" or node.attributes.get_int("axis", 0) != 0 or constant(node.inputs[1]) is not None:
        return False
    value, table = node.inputs[0], constant(node.inputs[0])
    if value is None or table is None or table.ndim < 2 or table.size < _LEAST_TABLE or value.is_graph_output():
        return False
    return all(user.op_type in _TABLE_READERS for user in value.consumers())


def make_plan(model: Model, scheme: Scheme, keep_float: Collection[str] = ()) -> Plan:
    """Plan `model` for `scheme`, leaving the layers in `keep_float` (by first output's name) in float.

    Operators with weights run in int8 wherever the scheme has a rule for them. Others follow when all that they read is int8
    and what they make is read in int8: alone between float neighbours they would only add rounding and conversions. What is
    looked up in a table is int8 in any case.
    """
    outputs = {str(value.name) for value in model.graph.outputs}
    chosen: dict[str, onnx_ir.Node] = {}
    absorbed: dict[str, str] = {}
    kept: dict[str, str] = {}
    for node in model.graph:
        name = layer(node)
        if name in absorbed:
            continue
        why = _why_float(node, scheme, keep_float, chosen, absorbed)
        if why is not None:
            if why:
                kept[name] = why
            continue
        chosen[name] = node
        follower = _absorbable(node, scheme, outputs)
        if follower is not None:
            absorbed[layer(follower)] = name
    _drop_unread(scheme, chosen, absorbed, kept)
    return _with_groups(scheme, chosen, absorbed, kept)


def _drop_unread(scheme: Scheme, chosen: dict[str, onnx_ir.Node], absorbed: dict[str, str], kept: dict[str, str]) -> None:
    """Leave nodes without weights in float where nothing reads their result in int8 (from the end to the start)."""
    for name, node in reversed(list(chosen.items())):
        if weight_of(node, scheme.operators[node.op_type]) is not None or is_lookup(node):
            continue
        readers = [user for value in result_of(node, absorbed) for user in value.consumers()]
        if not any(layer(user) in chosen for user in readers):
            kept[name] = "nothing in int8 reads its result"
            del chosen[name]
            for follower in [item for item, owner in absorbed.items() if owner == name]:
                del absorbed[follower]


def result_of(node: onnx_ir.Node, absorbed: Mapping[str, str]) -> list[onnx_ir.Value]:
    """The tensors that an int8 node makes: its outputs, or its absorbed activation's."""
    for user in node.outputs[0].consumers():
        if absorbed.get(layer(user)) == layer(node):
            return list(user.outputs)
    return [value for value in node.outputs if value.name]


def _why_float(
    node: onnx_ir.Node,
    scheme: Scheme,
    keep_float: Collection[str],
    chosen: Mapping[str, onnx_ir.Node],
    absorbed: Mapping[str, str],
) -> str | None:
    """None when the node shall run in int8, else why it does not ("" when there is nothing to tell)."""
    rule = scheme.operators.get(node.op_type) if node.domain == "" else None
    floats = [value for value in node.outputs if value.dtype == onnx_ir.DataType.FLOAT]
    if not floats:
        return ""
    if rule is None:
        return f"{scheme.name} has no int8 kernel for {node.op_type}"
    if layer(node) in keep_float:
        return "kept in float for accuracy"
    data = activations(node, rule)
    if any(value.dtype != onnx_ir.DataType.FLOAT for value in [*data, *node.outputs]):
        return "an input or output is not float32"
    if rule.weights is not None and weight_of(node, rule) is None and node.op_type not in _BINARY:
        return "its weights are not constant"
    shape_reason = _unusual(node)
    if shape_reason:
        return shape_reason
    if (rule.weights is not None and weight_of(node, rule) is not None) or is_lookup(node):
        return None
    variable = [value for value in data if constant(value) is None]
    if not variable or not all(_is_int8(value, chosen, absorbed) for value in variable):
        return "it reads a float tensor"
    return None


def _unusual(node: onnx_ir.Node) -> str:
    """Why a node's attributes rule int8 out, or ""."""
    if node.op_type == "Gemm":
        alpha, beta = node.attributes.get_float("alpha", 1.0), node.attributes.get_float("beta", 1.0)
        if (alpha, beta) != (1.0, 1.0) or bool(node.attributes.get_int("transA")):
            return "its alpha, beta or transA is unusual"
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        array = constant(bias)
        if bias is not None and (array is None or array.size != array.shape[-1]):
            return "its bias is not a constant vector"
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if node.op_type in ("Conv", "ConvTranspose") and bias is not None and constant(bias) is None:
        return "its bias is not constant"
    return ""


def _is_int8(value: onnx_ir.Value, chosen: Mapping[str, onnx_ir.Node], absorbed: Mapping[str, str]) -> bool:
    maker = value.producer()
    return maker is not None and (layer(maker) in chosen or layer(maker) in absorbed)


def _absorbable(node: onnx_ir.Node, scheme: Scheme, outputs: Collection[str]) -> onnx_ir.Node | None:
    """The activation after `node` that its kernel does too, if the tensor between them is seen by nobody else."""
    if len(node.outputs) != 1 or node.outputs[0].name in outputs:
        return None
    if scheme.operators[node.op_type].same_scale or scheme.operators[node.op_type].fixed_output:
        return None
    users = node.outputs[0].consumers()
    if len(users) != 1 or users[0].op_type not in scheme.fused_activations or users[0].inputs[0] is not node.outputs[0]:
        return None
    return users[0]


class _Groups:
    """Union-find over tensor names, with the parameters that a kernel demands of a group."""

    def __init__(self) -> None:
        self.parent: dict[str, str] = {}
        self.fixed: dict[str, tuple[float, int]] = {}
        self.tables: set[str] = set()  # groups that hold a table, whose numbers a demanded scale might cut off

    def root(self, name: str) -> str:
        self.parent.setdefault(name, name)
        while self.parent[name] != name:
            self.parent[name] = self.parent[self.parent[name]]
            name = self.parent[name]
        return name

    def can_join(self, names: Collection[str]) -> bool:
        roots = {self.root(name) for name in names}
        demands = {self.fixed[root] for root in roots if root in self.fixed}
        return len(demands) <= 1 and not (demands and roots & self.tables)

    def join(self, names: Collection[str]) -> None:
        roots = sorted({self.root(name) for name in names})
        demand = next((self.fixed[root] for root in roots if root in self.fixed), None)
        for root in roots[1:]:
            self.parent[root] = roots[0]
        if demand is not None:
            self.fixed[roots[0]] = demand
        if self.tables.intersection(roots):
            self.tables.add(roots[0])


def _with_groups(scheme: Scheme, chosen: dict[str, onnx_ir.Node], absorbed: dict[str, str], kept: dict[str, str]) -> Plan:
    """Group the tensors of the chosen nodes; a node whose demands contradict each other goes back to float."""
    while True:
        groups = _Groups()
        for node in chosen.values():
            demand = scheme.operators[node.op_type].fixed_output
            if demand is not None:
                for value in result_of(node, absorbed):
                    groups.fixed[groups.root(str(value.name))] = demand
        contradicting = None
        for name, node in chosen.items():
            rule = scheme.operators[node.op_type]
            own = [str(value.name) for value in (*activations(node, rule), *result_of(node, absorbed))]
            for tensor in own:
                groups.root(tensor)
            if rule.same_scale and not groups.can_join(own):
                contradicting = name
                break
            if rule.same_scale:
                groups.join(own)
            if is_lookup(node):
                groups.tables.add(groups.root(own[0]))
        if contradicting is None:
            break
        kept[contradicting] = "its inputs demand different scales"
        del chosen[contradicting]
    return Plan(
        nodes=tuple(chosen),
        absorbed={name: owner for name, owner in absorbed.items() if owner in chosen},
        tensors={name: groups.root(name) for name in groups.parent},
        fixed={groups.root(name): demand for name, demand in groups.fixed.items()},
        kept=kept,
    )
