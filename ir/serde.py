"""The only file that touches protobuf: ONNX bytes to and from onnx-ir, bounded and stripped of what a file should not carry."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnx.version_converter
import onnx_ir

from ..core.canonical import digest as _digest
from ..core.canonical import digest_json
from ..core.errors import ModelError
from ..core.mapping import forget_pages
from ..core.spool import no_scratch
from .weightless import weights_as_inputs, without_weights

MAX_MODEL_BYTES = 2 << 30
MIN_OPSET, MAX_OPSET = 7, 24
# What every model is brought to: the last opset that all runtimes here read in the versions that devices have, and the file
# version that belongs to it. After it come new types and new operators, but no new meaning of an old operator.
OPSET, IR_VERSION = 21, 10
_SCRIPT_MIN_OPSET = 18
# Numbers of fields in onnx.proto: graph in ModelProto, initializer in GraphProto.
_GRAPH_FIELD, _INITIALIZER_FIELD = 7, 5
_INLINE_BYTES, _PAGE_BYTES = 1 << 10, 1 << 12


def parse(data: bytes, where: str, base: Path | None = None) -> onnx_ir.Model:
    """onnx-ir model of ONNX bytes; external weights are read from `base` (never from outside it).

    Raises ModelError when the bytes are no ONNX model, the opset is unknown, or external data is missing or out of place.
    """
    if len(data) > MAX_MODEL_BYTES:
        raise ModelError(f"{where} has {len(data)} bytes, more than {MAX_MODEL_BYTES}; it cannot be a model for the edge.")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except Exception as error:
        raise ModelError(f"{where} is not an ONNX model (protobuf: {error}); export it again.") from error
    if not proto.graph.node and not proto.graph.output:
        raise ModelError(f"{where} is not an ONNX model: it has no graph; export it again.")
    version = next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), None)
    if version is None:
        raise ModelError(f"{where} imports no ONNX operator set; export it again.")
    if not MIN_OPSET <= version <= MAX_OPSET:
        raise ModelError(
            f"{where} uses ONNX opset {version}; this version reads {MIN_OPSET} to {MAX_OPSET}: export it with one of these."
        )
    if proto.ir_version > onnx.IR_VERSION:
        raise ModelError(
            f"{where} is of ONNX file version {proto.ir_version}; this version reads up to {onnx.IR_VERSION}: export it anew."
        )
    _check_external(proto, where, base)
    try:
        if base is not None:
            onnx.load_external_data_for_model(proto, str(base))
        read: onnx_ir.Model = onnx_ir.from_proto(proto)
    except Exception as error:
        raise ModelError(f"{where} cannot be read as an ONNX model: {error}.") from error
    return read


def graph_of(path: Path) -> onnx_ir.Model:
    """The graph in a file; weights beside it are not read, and are not there when the file is gone. Raises ModelError."""
    try:
        read = onnx_ir.load(path)
    except Exception as error:
        raise ModelError(f"{path} cannot be read as an ONNX model: {error}.") from error
    if not read.graph.outputs:
        raise ModelError(f"{path} cannot be read as an ONNX model: it has no graph.")
    return read


def _check_external(proto: onnx.ModelProto, where: str, base: Path | None) -> None:
    """External data must be relative files below the model's folder."""
    for tensor in proto.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        if base is None:
            raise ModelError(f"{where} keeps the weights {tensor.name!r} in a file of their own; give the path of the model.")
        file = base / location
        inside = file.resolve().is_relative_to(base.resolve())
        if not location or Path(location).is_absolute() or not inside or file.is_symlink():
            raise ModelError(f"{where} wants external data from {location!r}, outside its folder; refused.")
        if not file.is_file():
            raise ModelError(f"{where} needs the file {location!r} beside it, which is missing.")
        if file.stat().st_size > MAX_MODEL_BYTES:
            raise ModelError(f"{where} needs {location!r}, which has more than {MAX_MODEL_BYTES} bytes; that is too much.")


def serialize(model: onnx_ir.Model) -> bytes:
    """Deterministic ONNX bytes of `model`.

    Weights are written one by one behind the rest of the graph: protobuf itself would hold the whole file three times.
    """
    skeleton, weights = without_weights(model)
    proto = onnx_ir.to_proto(skeleton)
    graph = proto.graph.SerializeToString(deterministic=True)
    proto.ClearField("graph")
    size = len(graph)
    # Two walks over the weights, the first for the length that stands before the graph.
    for piece in _initializers(weights):
        size += len(piece)
    file = io.BytesIO()
    file.write(proto.SerializeToString(deterministic=True))
    file.write(_head(_GRAPH_FIELD, size))
    file.write(graph)
    for piece in _initializers(weights):
        file.write(piece)
    return file.getvalue()


def _initializers(weights: Mapping[str, onnx_ir.TensorProtocol]) -> Iterator[bytes]:
    """Each weight as the field of GraphProto that it is: tag and length, then the tensor."""
    for name, tensor in weights.items():
        tensor.name = name
        data = onnx_ir.to_proto(tensor).SerializeToString(deterministic=True)
        yield _head(_INITIALIZER_FIELD, len(data))
        yield data


def _head(field: int, length: int) -> bytes:
    """Tag and length of a field that holds a message. Source: protobuf.dev, Encoding, "Length-Delimited Records"."""
    return _varint(field << 3 | 2) + _varint(length)


def _varint(value: int) -> bytes:
    pieces = bytearray()
    while value > 0x7F:
        pieces.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*pieces, value])


@contextmanager
def on_disk(model: onnx_ir.Model) -> Iterator[Path]:
    """An ONNX file of `model` with its weights in a file beside it, gone when the block ends.

    Who reads it maps the weights into memory, where bytes would be copied several times. Raises StoreError when the disk
    refuses.
    """
    with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
        file = Path(folder) / "model.onnx"
        try:
            # The copy: saving gives each weight another tensor for a while, and others may be reading the model.
            onnx_ir.save(
                model.clone(), file, external_data="weights", size_threshold_bytes=_INLINE_BYTES, alignment=_PAGE_BYTES
            )
        except OSError as error:
            raise no_scratch(error) from error
        forget_pages()
        yield file


def digest(model: onnx_ir.Model) -> str:
    """SHA-256 over the graph and over each of its weights; equal models have equal ones."""
    skeleton, weights = without_weights(model)
    graph = onnx_ir.to_proto(skeleton).SerializeToString(deterministic=True)
    each = [
        [name, tensor.dtype.name, list(tensor.shape.numpy()), _digest(tensor.tobytes())] for name, tensor in weights.items()
    ]
    return digest_json([_digest(graph), each])


def check(model: onnx_ir.Model) -> None:
    """Run ONNX's own checker, to which large weights are shown by type and shape; raises whatever it raises."""
    onnx.checker.check_model(onnx_ir.to_proto(weights_as_inputs(model)))


def convert_opset(model: onnx_ir.Model) -> onnx_ir.Model:
    """The model in `OPSET`; functions must have been inlined. `model` may be changed and must not be used afterwards.

    Up to opset 18 by ONNX's converter, from there by onnxscript's. From a later opset only the label changes, which is
    exact because an operator or an attribute that `OPSET` does not have fails the check. Raises ModelError naming the opset.
    """
    version = model.opset_imports.get("", model.opset_imports.get("ai.onnx", 0))
    try:
        # The converter takes weights that are no inputs only from files of the newer versions.
        model.ir_version = IR_VERSION
        if version < _SCRIPT_MIN_OPSET:
            proto = onnx_ir.to_proto(model)
            model = onnx_ir.from_proto(onnx.version_converter.convert_version(proto, _SCRIPT_MIN_OPSET))
        if version < OPSET:
            from onnxscript.version_converter import ConvertVersionPass

            model = ConvertVersionPass(target_version=OPSET, fallback=False)(model).model
        model.opset_imports.pop("ai.onnx", None)
        model.opset_imports[""] = OPSET
        model.ir_version = IR_VERSION
        check(model)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"the model's ONNX opset {version} cannot be converted to opset {OPSET}: {reason}; export it with opset {OPSET}."
        ) from error
    return model
