"""The only file that touches protobuf: ONNX bytes to and from onnx-ir, bounded and stripped of what a file should not carry."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir

from ..core.errors import ModelError

MAX_MODEL_BYTES = 2 << 30
MIN_OPSET, MAX_OPSET = 7, 24


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
    _check_external(proto, where, base)
    try:
        if base is not None:
            onnx.load_external_data_for_model(proto, str(base))
        return onnx_ir.from_proto(proto)
    except Exception as error:
        raise ModelError(f"{where} cannot be read as an ONNX model: {error}.") from error


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


def serialize(model: onnx_ir.Model) -> bytes:
    """Deterministic ONNX bytes of `model`."""
    proto = onnx_ir.to_proto(model)
    return bytes(proto.SerializeToString(deterministic=True))


def check(model: onnx_ir.Model) -> None:
    """Run ONNX's own checker; raises whatever it raises."""
    proto = onnx_ir.to_proto(model)
    onnx.checker.check_model(proto)
