"""Whether LiteRT gets faster with sparse weights: `python -m benchmarks.sparse_litert`.

MobileNetV2 with random weights, of whose 1x1 convolutions a share of the weights is zero, as a plain .tflite file and as one
that stores these weights sparse (compressed rows, behind DENSIFY), the form that XNNPACK's sparse kernels are documented for:
pads are one on each side, the first convolution is 3x3 with stride 2 and reads 3 channels, the last operator of the part is a
MEAN. Told are bytes, bytes compressed, milliseconds of CPU time of one thread, and whether both files answer with the same
bits, which a sparse kernel, adding in another order, would not.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from edgewright.core.compression import compressed_size
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model, initializer
from edgewright.optimizer.ingest.ingest import ingest
from edgewright.runtimes import registry
from edgewright.runtimes.litert.flatbuffer import AlignedBuffer
from edgewright.runtimes.litert.run import open_interpreter

from benchmarks.pruning_speed import prepared
from benchmarks.zoo import torchvision_models

AMOUNTS = (0.0, 0.7, 0.8, 0.9, 0.95)
_ROUNDS, _RUNS = 6, 8


def main() -> None:
    net = torchvision_models().mobilenet_v2(weights=None).eval()
    model = prepared(ingest(net, samples={"x": np.zeros((1, 3, 224, 224), np.float32)}).model)
    print(f"{'zeros':>6}{'bytes':>22}{'compressed':>22}{'CPU ms':>16}  same bits")
    for amount in AMOUNTS:
        lowered = registry.get("litert").lower(zeroed(model, amount), load("x86-64-vnni"))
        plain = symmetric(lowered.files[lowered.entry])
        sparse = with_sparse_weights(plain)
        (before, after), same = timed(plain, sparse)
        sizes = f"{len(plain):>11,}{len(sparse):>11,}{compressed_size(plain):>11,}{compressed_size(sparse):>11,}"
        print(f"{amount:>6.0%}{sizes}{before:>8.2f}{after:>8.2f}  {same}", flush=True)


def zeroed(model: Model, amount: float) -> Model:
    """The smallest `amount` of the weights of each 1x1 convolution zero."""
    result = model.clone()
    for node in result.graph:
        value = node.inputs[1] if node.op_type == "Conv" else None
        if value is None or value.const_value is None or tuple(value.const_value.shape)[2:] != (1, 1):
            continue
        weights = value.const_value.numpy()
        small = np.abs(weights) <= np.quantile(np.abs(weights), amount) if amount else np.zeros(weights.shape, bool)
        value.const_value = initializer(str(value.name), np.where(small, 0, weights).astype(np.float32)).const_value
    return result


def symmetric(data: bytes) -> bytes:
    """Pads of one on each side, where the compiler leaves out the side that a stride of 2 never reads."""
    model = unpacked(data)
    graph = model.subgraphs[0]
    for operator in graph.operators:
        if model.operatorCodes[operator.opcodeIndex].builtinCode == schema.BuiltinOperator.PAD:
            pads = np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)
            model.buffers[graph.tensors[operator.inputs[1]].buffer].data = np.frombuffer(pads.tobytes(), np.uint8)
            batch, height, width, channels = graph.tensors[operator.inputs[0]].shape
            graph.tensors[operator.outputs[0]].shape = np.array([batch, height + 2, width + 2, channels], np.int32)
    return packed(model)


def with_sparse_weights(data: bytes) -> bytes:
    """The weights of 1x1 convolutions that are mostly zero, stored sparse behind DENSIFY."""
    model = unpacked(data)
    graph = model.subgraphs[0]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DENSIFY
    code.version = 1
    operators: list[Any] = []
    for operator in graph.operators:
        tensor = graph.tensors[operator.inputs[1]] if len(operator.inputs) > 1 else None
        is_conv = model.operatorCodes[operator.opcodeIndex].builtinCode == schema.BuiltinOperator.CONV_2D
        if is_conv and tensor is not None and tuple(tensor.shape[1:3]) == (1, 1):
            weights = model.buffers[tensor.buffer].data.view(np.float32).reshape(tensor.shape)
            if (weights == 0).mean() > 0.5:
                graph.tensors.append(sparse_tensor(model, weights, f"sparse {len(operators)}"))
                operators.append(densify(len(model.operatorCodes), len(graph.tensors) - 1, int(operator.inputs[1])))
                tensor.buffer = 0
        operators.append(operator)
    graph.operators = operators
    model.operatorCodes.append(code)
    used = {tensor.buffer for tensor in graph.tensors}
    for index, buffer in enumerate(model.buffers):
        buffer.data = buffer.data if index in used else None
    return packed(model)


def sparse_tensor(model: Any, weights: np.ndarray, name: str) -> Any:
    """A tensor of the values that are not zero, and the rows and columns they are of."""
    rows = weights.reshape(len(weights), -1)
    segments = np.concatenate([[0], np.cumsum((rows != 0).sum(1))])
    buffer = AlignedBuffer()
    buffer.data = np.frombuffer(rows[rows != 0].astype(np.float32).tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type = name, np.asarray(weights.shape, np.int32), schema.TensorType.FLOAT32
    tensor.buffer, tensor.hasRank = len(model.buffers) - 1, True
    tensor.sparsity = schema.SparsityParametersT()
    tensor.sparsity.traversalOrder = np.arange(4, dtype=np.int32)
    dense = []
    for size in weights.shape[:3]:
        axis = schema.DimensionMetadataT()
        axis.format, axis.denseSize = schema.DimensionType.DENSE, int(size)
        dense.append(axis)
    last = schema.DimensionMetadataT()
    last.format = schema.DimensionType.SPARSE_CSR
    last.arraySegmentsType, last.arraySegments = indices(segments)
    last.arrayIndicesType, last.arrayIndices = indices(np.nonzero(rows)[1])
    tensor.sparsity.dimMetadata = [*dense, last]
    return tensor


def indices(numbers: np.ndarray) -> tuple[int, Any]:
    """The narrowest vector that holds the numbers."""
    if numbers.max() < 1 << 16:
        vector = schema.Uint16VectorT()
        vector.values = numbers.astype(np.uint16)
        return schema.SparseIndexVector.Uint16Vector, vector
    vector = schema.Int32VectorT()
    vector.values = numbers.astype(np.int32)
    return schema.SparseIndexVector.Int32Vector, vector


def densify(code: int, sparse: int, dense: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex = code
    operator.inputs, operator.outputs = np.array([sparse], np.int32), np.array([dense], np.int32)
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.DensifyOptions, schema.DensifyOptionsT()
    return operator


def unpacked(data: bytes) -> Any:
    """The file's objects, buffers such that they are written aligned."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    buffers = []
    for before in model.buffers:
        buffer = AlignedBuffer()
        buffer.data = None if before.data is None or not len(before.data) else np.asarray(before.data, np.uint8)
        buffers.append(buffer)
    model.buffers = buffers
    return model


def packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def timed(*files: bytes) -> tuple[list[float], bool]:
    """CPU milliseconds of each file, in turns, and whether all answer alike."""
    interpreters = [open_interpreter(data, 1) for data in files]
    answers = []
    for interpreter in interpreters:
        given = interpreter.get_input_details()[0]
        interpreter.set_tensor(given["index"], np.random.default_rng(0).standard_normal(given["shape"]).astype(np.float32))
        interpreter.invoke()
        answers.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    times: list[list[float]] = [[] for _ in files]
    for _ in range(_ROUNDS):
        for interpreter, mine in zip(interpreters, times, strict=True):
            mine.append(min(cpu_ms(interpreter) for _ in range(_RUNS)))
    return [median(mine) for mine in times], all(np.array_equal(answers[0], other) for other in answers[1:])


def cpu_ms(interpreter: Any) -> float:
    start = time.process_time_ns()
    interpreter.invoke()
    return (time.process_time_ns() - start) / 1e6


if __name__ == "__main__":
    main()
