"""The only file that touches protobuf: ONNX bytes to and from onnx-ir, bounded and stripped of what a file should not carry."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.version_converter
import onnx_ir

from ..core.errors import ModelError

MAX_MODEL_BYTES = 2 << 30
MIN_OPSET, MAX_OPSET = 7, 24
# What every model is brought to: the last opset that all runtimes here read in the versions that devices have, and the file
# version that belongs to it. After it come new types and new operators, but no new meaning of an old operator.
OPSET, IR_VERSION = 21, 10
_SCRIPT_MIN_OPSET = 18


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
    """Deterministic ONNX bytes of `model`."""
    proto = onnx_ir.to_proto(model)
    return bytes(proto.SerializeToString(deterministic=True))


def check(model: onnx_ir.Model) -> None:
    """Run ONNX's own checker; raises whatever it raises."""
    proto = onnx_ir.to_proto(model)
    onnx.checker.check_model(proto)


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
