"""Time by operator: each is cut out into a file of its own and timed there.

The interpreter's Python face has no profiler, and its kernels run inside a delegate that hides them. An operator alone lacks
what the delegate gains by fusing across operators (pads, layouts), so the sum may exceed the whole model's time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from ...core.errors import RuntimeFailure

_KINDS = {code: name for name, code in sorted(vars(schema.BuiltinOperator).items(), reverse=True) if not name.startswith("_")}
_WARM_UP = 3


def profile_operators(data: bytes, threads: int, inputs: Mapping[str, Any], runs: int) -> list[tuple[str, str, float]]:
    """(name of the operator's first output, its kind, median microseconds of `runs` runs) in the file's order.

    Operators that widen constants (DEQUANTIZE of weights) go with their readers, as in the whole model, where they run once.
    `inputs` are unused but for their names: the time of these kernels does not depend on the numbers.
    """
    if runs < 1:
        raise RuntimeFailure(f"{runs} runs were asked for; give at least one.")
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    graph = model.subgraphs[0]
    widened = _widened_constants(model)
    found = []
    for entry in graph.operators:
        name = graph.tensors[int(entry.outputs[0])].name
        if int(entry.outputs[0]) in widened:
            continue
        needed = [widened[int(index)] for index in entry.inputs if int(index) in widened]
        code = model.operatorCodes[entry.opcodeIndex]
        kind = _KINDS[max(code.builtinCode, code.deprecatedBuiltinCode)]
        alone = _alone(model, [*needed, entry])
        found.append((name.decode() if isinstance(name, bytes) else str(name), kind, _median_us(alone, threads, runs)))
    return found


def _widened_constants(model: Any) -> dict[int, Any]:
    """Operator by output tensor, of those that read constants only."""
    graph = model.subgraphs[0]
    filled = {index for index, tensor in enumerate(graph.tensors) if model.buffers[tensor.buffer].data is not None}
    return {
        int(entry.outputs[0]): entry
        for entry in graph.operators
        if len(entry.outputs) == 1 and all(int(index) in filled for index in entry.inputs if index >= 0)
    }


def _alone(model: Any, operators: list[Any]) -> bytes:
    """A file of these operators; whatever they read that is no constant and not made by them is an input."""
    graph = model.subgraphs[0]
    made = {int(index) for entry in operators for index in entry.outputs}
    read = dict.fromkeys(int(index) for entry in operators for index in entry.inputs if index >= 0)
    order = [*read, *(index for index in made if index not in read)]
    place = {index: new for new, index in enumerate(order)}
    part = schema.SubGraphT()
    part.tensors, buffers = [], [schema.BufferT()]
    for index in order:
        tensor = schema.TensorT()
        tensor.__dict__.update(graph.tensors[index].__dict__)
        stored = model.buffers[tensor.buffer]
        tensor.buffer = 0
        if stored.data is not None:
            tensor.buffer = len(buffers)
            buffers.append(stored)
        part.tensors.append(tensor)
    part.operators = []
    for entry in operators:
        moved = schema.OperatorT()
        moved.__dict__.update(entry.__dict__)
        moved.inputs = np.asarray([place.get(int(index), -1) for index in entry.inputs], np.int32)
        moved.outputs = np.asarray([place[int(index)] for index in entry.outputs], np.int32)
        part.operators.append(moved)
    free = [index for index in read if index not in made and model.buffers[graph.tensors[index].buffer].data is None]
    part.inputs = np.asarray([place[index] for index in free], np.int32)
    part.outputs = np.asarray([place[int(index)] for index in operators[-1].outputs], np.int32)
    whole = schema.ModelT()
    whole.version = 3
    whole.operatorCodes = model.operatorCodes
    whole.subgraphs = [part]
    whole.buffers = buffers
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(whole.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _median_us(data: bytes, threads: int, runs: int) -> float:
    try:
        interpreter = Interpreter(model_content=data, num_threads=threads)
        interpreter.allocate_tensors()
        generator = np.random.default_rng(0)
        for detail in interpreter.get_input_details():
            array = generator.integers(0, 2, detail["shape"]).astype(detail["dtype"])
            interpreter.set_tensor(detail["index"], array)
        for _ in range(_WARM_UP):
            interpreter.invoke()
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            interpreter.invoke()
            times.append(time.perf_counter() - start)
    except (ValueError, RuntimeError) as error:
        raise RuntimeFailure(f"LiteRT failed while timing an operator: {str(error).splitlines()[0]}.") from error
    return statistics.median(times) * 1e6
