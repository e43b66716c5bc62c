"""Requests and answers of the Open Inference Protocol v2 over HTTP, as JSON and as binary tensors. Pure: bytes in, bytes out.

Source: the protocol's REST specification and Triton's binary tensor data extension: the header
Inference-Header-Content-Length tells how many bytes of the body are JSON; behind them lie the tensors whose `parameters` hold
a `binary_data_size`, in their order. With 0 bytes of JSON the whole body is the data of the model's only input.

Everything is refused that this file does not know for certain; a Refusal carries the status of HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...core.errors import unknown
from ...core.executor import TensorSpec
from . import tensors
from .refusal import Mismatch, Refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_TENSORS = 256
MAX_ID = 256
# The most samples of one request, for models of a fixed batch as well: they run one after the other.
MAX_SAMPLES = 64
_MAX_BYTES = 64 << 20
_MAX_JSON_BYTES = 16 << 20
_ROOM = 64 << 10
# A float in JSON takes up to 25 characters and a comma.
_CHARACTERS = 32

PLATFORMS: Mapping[str, str] = {"onnxruntime": "onnx_onnxv1", "litert": "tflite_tflitev3", "openvino": "openvino_ir"}


def _constant(name: str) -> Any:
    raise ValueError(name)


# json.loads and json.dumps make these anew for every call that differs from their defaults.
_DECODER = json.JSONDecoder(parse_constant=_constant)
_ENCODER = json.JSONEncoder(separators=(",", ":"))


@dataclass(frozen=True)
class Ask:
    """A parsed request: the inputs, and which outputs are wanted, each True where its data shall be binary."""

    inputs: Mapping[str, NDArray[Any]]
    outputs: Mapping[str, bool]
    id: str | None = None


@dataclass(frozen=True)
class Answer:
    """Body of a response in pieces, so that large tensors are not copied; `json_bytes` of it are JSON, None for all."""

    pieces: Sequence[bytes | memoryview] = field(repr=False)
    json_bytes: int | None = None


@dataclass(frozen=True)
class Limits:
    """The most bytes that a request's body may have, and of them JSON."""

    body: int
    json: int


def limits(inputs: Sequence[TensorSpec]) -> Limits:
    """What `MAX_SAMPLES` samples of these inputs can take; sizes that are free count up to the absolute limits."""
    elements, size = 0, 0
    for spec in inputs:
        count = MAX_SAMPLES
        for axis in spec.shape[1:]:
            count = count * axis if axis is not None else _MAX_BYTES
        elements += count
        size += count * _ITEM_BYTES.get(spec.dtype, 8)
    json_bytes = min(_MAX_JSON_BYTES, _ROOM + _CHARACTERS * elements)
    return Limits(json_bytes + min(_MAX_BYTES, size), json_bytes)


def parse(
    body: memoryview, json_bytes: int | None, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], max_json: int
) -> Ask:
    """The request in `body`, checked against the model's specifications; raises Refusal.

    `json_bytes` is the header Inference-Header-Content-Length, or None where there is none and all of the body is JSON;
    `max_json` the most bytes of JSON, of `limits`.
    """
    if json_bytes == 0:
        return _raw(body, inputs, outputs)
    if (json_bytes if json_bytes is not None else len(body)) > max_json:
        raise Refusal(413, f"the JSON of a request has at most {max_json} bytes for this model; send the data in binary.")
    if json_bytes is not None and json_bytes > len(body):
        raise Refusal(400, f"Inference-Header-Content-Length is {json_bytes}, and the body has {len(body)} bytes.")
    request = _object(body if json_bytes is None else body[:json_bytes])
    binary = memoryview(b"") if json_bytes is None else body[json_bytes:]
    found: dict[str, NDArray[Any]] = {}
    offset = 0
    for item in _listed(request, "inputs"):
        name = item.get("name")
        spec = next((spec for spec in inputs if spec.name == name), None)
        if spec is None:
            raise Mismatch(unknown("model input", str(name)[:80], [spec.name for spec in inputs]))
        if name in found:
            raise Refusal(400, f"the input {name!r} is given twice.")
        where = f"input {name!r}"
        datatype = tensors.check_datatype(item.get("datatype"), where)
        shape = tensors.check_shape(item.get("shape"), where)
        size = _parameters(item, where).get("binary_data_size")
        if size is None:
            array = tensors.from_json(item.get("data"), datatype, shape, where)
        elif type(size) is not int or not 0 <= size <= len(binary) - offset:
            raise Refusal(400, f"{where}: binary_data_size is no number of bytes that the body still has.")
        elif "data" in item:
            raise Refusal(400, f"{where} has both data and a binary_data_size; give one of them.")
        else:
            array = tensors.from_bytes(binary[offset : offset + size], datatype, shape, where)
            offset += size
        _check(spec, datatype, shape)
        found[spec.name] = array
    if offset != len(binary):
        raise Refusal(400, f"{len(binary) - offset} bytes of the body belong to no input.")
    _check_all(found, inputs)
    return Ask(found, _wanted(request, outputs), _id(request))


def form(model: str, version: str, ask: Ask, outputs: Mapping[str, NDArray[Any]]) -> Answer:
    """The response to `ask`; raises Refusal where an output cannot be put into JSON."""
    listed: list[dict[str, Any]] = []
    pieces: list[bytes | memoryview] = []
    for name, is_binary in ask.outputs.items():
        array = outputs[name]
        item: dict[str, Any] = {
            "name": name,
            "datatype": tensors.datatype_in(array),
            "shape": list(array.shape),
        }
        if is_binary:
            data = tensors.to_bytes(array)
            item["parameters"] = {"binary_data_size": len(data)}
            pieces.append(data)
        else:
            item["data"] = tensors.to_json(array, f"output {name!r}")
        listed.append(item)
    response: dict[str, Any] = {"model_name": model, "model_version": version}
    if ask.id is not None:
        response["id"] = ask.id
    response["outputs"] = listed
    text = _ENCODER.encode(response).encode()
    return Answer((text, *pieces), len(text) if pieces else None)


def describe(spec: TensorSpec) -> dict[str, Any]:
    """Metadata of a tensor: -1 where a size is free."""
    shape = [-1 if size is None else size for size in spec.shape]
    return {"name": spec.name, "datatype": tensors.datatype_of(spec.dtype), "shape": shape}


_ITEM_BYTES: Mapping[str, int] = {
    "bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "float16": 2, "int32": 4, "uint32": 4, "float32": 4,
}  # fmt: skip


def _object(data: memoryview) -> dict[str, Any]:
    try:
        value = _DECODER.decode(str(data, "utf-8"))
    except RecursionError as error:
        raise Refusal(400, "the request's JSON is nested too deep.") from error
    except ValueError as error:
        raise Refusal(400, "the request is not JSON in UTF-8; see the Open Inference Protocol v2.") from error
    if not isinstance(value, dict):
        raise Refusal(400, "the request is not a JSON object with `inputs`.")
    return value


def _listed(request: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    items = request.get(key)
    if not isinstance(items, list) or len(items) > MAX_TENSORS or not all(isinstance(item, dict) for item in items):
        raise Refusal(400, f"{key!r} is not a list of at most {MAX_TENSORS} tensors.")
    return items


def _parameters(item: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    parameters = item.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise Refusal(400, f"{where}: the parameters are not an object.")
    return parameters


def _id(request: Mapping[str, Any]) -> str | None:
    name = request.get("id")
    if name is not None and not (isinstance(name, str) and len(name) <= MAX_ID):
        raise Refusal(400, f"the request's id is not a string of at most {MAX_ID} characters.")
    return name


def _wanted(request: Mapping[str, Any], outputs: Sequence[TensorSpec]) -> dict[str, bool]:
    """The outputs that are asked for, all by default, each with whether its data shall be binary."""
    default = _flag(_parameters(request, "the request"), "binary_data_output", False)
    if request.get("outputs") is None:
        return {spec.name: default for spec in outputs}
    names = [spec.name for spec in outputs]
    wanted: dict[str, bool] = {}
    for item in _listed(request, "outputs"):
        name = item.get("name")
        if not isinstance(name, str) or name not in names:
            raise Mismatch(unknown("model output", str(name)[:80], names))
        parameters = _parameters(item, f"output {name!r}")
        if parameters.get("classification") is not None:
            raise Refusal(400, f"output {name!r}: classification is an extension that is not served; rank the scores.")
        wanted[name] = _flag(parameters, "binary_data", default)
    return wanted or {spec.name: default for spec in outputs}


def _flag(parameters: Mapping[str, Any], key: str, default: bool) -> bool:
    value = parameters.get(key, default)
    if not isinstance(value, bool):
        raise Refusal(400, f"the parameter {key!r} is not true or false.")
    return value


def _raw(body: memoryview, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Ask:
    """A body without JSON: the data of the only input, whose number of samples follows from the number of bytes."""
    if len(inputs) != 1 or None in inputs[0].shape[1:] or not inputs[0].shape:
        raise Refusal(400, "a body without JSON needs a model with one input, of which only the batch is free.")
    spec = inputs[0]
    size = _ITEM_BYTES.get(spec.dtype, 8)
    for axis in spec.shape[1:]:
        size *= axis or 0
    if size == 0 or len(body) == 0 or len(body) % size:
        raise Refusal(400, f"the body has {len(body)} bytes, and a sample of {spec.name!r} {size}.")
    shape = (len(body) // size, *(axis or 0 for axis in spec.shape[1:]))
    datatype = tensors.datatype_of(spec.dtype)
    _check(spec, datatype, shape)
    array = tensors.from_bytes(body, datatype, shape, f"input {spec.name!r}")
    return Ask({spec.name: array}, {output.name: True for output in outputs})


def _check(spec: TensorSpec, datatype: str, shape: tuple[int, ...]) -> None:
    """Type and shape against the model's; the batch may be any multiple of a fixed one."""
    wanted = tensors.datatype_of(spec.dtype)
    if datatype != wanted:
        raise Mismatch(f"the input {spec.name!r} is {wanted}, and {datatype} was sent.")
    batch = spec.shape[0] if spec.shape else None
    fits = len(shape) == len(spec.shape) and all(
        size in (None, given) for size, given in zip(spec.shape[1:], shape[1:], strict=True)
    )
    if fits and shape:
        fits = 1 <= shape[0] <= max(MAX_SAMPLES, batch or 1) and shape[0] % (batch or 1) == 0
    if not fits:
        told = describe(spec)["shape"]
        raise Mismatch(
            f"the input {spec.name!r} has shape {told}, and {list(shape)} was sent; at most {MAX_SAMPLES} samples at once."
        )


def _check_all(found: Mapping[str, NDArray[Any]], inputs: Sequence[TensorSpec]) -> None:
    missing = [spec.name for spec in inputs if spec.name not in found]
    if missing:
        raise Mismatch(f"the inputs {missing} are missing.")
    samples = {array.shape[0] for array in found.values() if array.ndim}
    if len(samples) > 1:
        raise Refusal(400, f"the inputs have {sorted(samples)} samples; give each the same number.")
