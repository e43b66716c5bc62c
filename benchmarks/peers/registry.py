"""Who is compared with what: the ways of the compiler, and the tools beside them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """A row's maker: `tool` in benchmarks.peers.tools with `way` as its argument, run in the environment of that name.

    `against` is the way of the compiler that it stands beside, `models` those that it is run on (None: all), `takes` the forms
    of a model that it reads.
    """

    name: str
    tool: str
    environment: str
    runtime: str
    against: str | None = None
    way: str = ""
    models: tuple[str, ...] | None = None
    takes: tuple[str, ...] = ("onnx",)


OURS = ""
_TORCH = ("resnet20", "autoencoder", "lenet5", "spoken_digits", "efficientnet_lite0", "minilm")
_KERAS = ("resnet8", "mobilenet_v2")


def _ours(way: str, runtime: str, models: tuple[str, ...] | None = None) -> Peer:
    return Peer(f"edgewright {way}", "edgewright_compile", OURS, runtime, None, way, models)


ORT, OPENVINO, LITERT = (f"edgewright int8-{name}" for name in ("onnxruntime", "openvino", "litert"))
QAT, HALF = "edgewright qat-litert", "edgewright half-onnxruntime"

PEERS: tuple[Peer, ...] = (
    _ours("int8-onnxruntime", "onnxruntime"),
    _ours("int8-openvino", "openvino"),
    _ours("int8-litert", "litert"),
    Peer("ONNX Runtime static", "onnxruntime_static", "onnxruntime", "onnxruntime", ORT),
    Peer("ONNX Runtime dynamic", "onnxruntime_dynamic", "onnxruntime", "onnxruntime", ORT, models=("minilm",)),
    Peer("NNCF, ONNX", "nncf_onnx", "nncf", "onnxruntime", ORT),
    Peer("NNCF, OpenVINO", "nncf_openvino", "nncf", "openvino", OPENVINO),
    Peer("TensorFlow's converter", "tensorflow_converter", "tensorflow", "litert", LITERT, takes=("keras", "saved_model")),
    Peer("ai-edge-quantizer", "ai_edge_quantizer_static", "ai-edge-quantizer", "litert", LITERT, takes=("tflite",)),
    Peer("AIMET ONNX", "aimet_onnx_cle", "aimet-onnx", "onnxruntime", ORT, models=("resnet20",)),
    Peer("neural-compressor", "neural_compressor_static", "neural-compressor", "onnxruntime", ORT, models=("resnet20",)),
    Peer("onnx2tf", "onnx2tf_int8", "onnx2tf", "litert", LITERT, models=("resnet20",)),
    Peer("litert-torch", "litert_torch_pt2e", "litert-torch", "litert", LITERT, models=("resnet20",), takes=("torch",)),
    Peer("Olive", "olive_static", "olive", "onnxruntime", ORT, models=("resnet20",)),
    _ours("qat-litert", "litert", _KERAS),
    Peer("TFMOT qat", "tfmot_qat", "tfmot", "litert", QAT, models=_KERAS, takes=("keras",)),
    _ours("half-onnxruntime", "onnxruntime", ("resnet20", "autoencoder", "lenet5", "spoken_digits")),
    Peer("Torch-Pruning half", "torch_pruning_half", "torch-pruning", "onnxruntime", HALF, models=_TORCH, takes=("torch",)),
    _ours("released", "any"),
)
