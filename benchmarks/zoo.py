"""The models that the main job is shown on, each with data: real weights and real samples where they can be had.

Data come from $EDGEWRIGHT_DATA; a model whose data are not there is left out, and the list says so.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.images import cifar10

DATA = Path(os.environ.get("EDGEWRIGHT_DATA", Path(__file__).resolve().parent.parent.parent / "shared" / "data"))
_MEAN, _STD = np.array([123.7, 116.3, 103.5], np.float32), np.array([58.4, 57.1, 57.4], np.float32)


@dataclass(frozen=True)
class Entry:
    """A source model, its samples, its gate, and what the source framework answers."""

    name: str
    model: Any
    data: Mapping[str, np.ndarray]
    gate: str
    answers: Callable[[np.ndarray], np.ndarray]
    search_samples: int = 256
    calib_samples: int = 128


def _demo() -> types.ModuleType:
    path = Path(__file__).resolve().parent.parent / "docs" / "demo.py"
    spec = importlib.util.spec_from_file_location("demo", path)
    if spec is None or spec.loader is None:
        sys.exit(f"{path} is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def torchvision_models() -> Any:
    """torchvision's models; its compiled operators want CUDA libraries, and its models do not need them."""
    try:
        from torchvision import models
    except RuntimeError:
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")
        from torchvision import models
    return models


def _torch_answers(module: Any) -> Callable[[np.ndarray], np.ndarray]:
    def answers(x: np.ndarray) -> np.ndarray:
        import torch

        with torch.no_grad():
            return np.concatenate([module(torch.from_numpy(row[None])).numpy() for row in x])

    return answers


def _onnx_answers(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    def answers(x: np.ndarray) -> np.ndarray:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return np.concatenate([session.run(None, {name: row[None]})[0] for row in x])

    return answers


def _keras_answers(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    def answers(x: np.ndarray) -> np.ndarray:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras

        return np.asarray(keras.models.load_model(path, compile=False)(x, training=False))

    return answers


def digits_network() -> Any:
    """The demo's CNN, not yet trained."""
    return _demo().digits_network()


def digits() -> Entry:
    """The CNN of the demo, trained here."""
    net, data = _demo().trained_digits()
    return Entry("digits", net, data, "top1 >= -2pt", _torch_answers(net), 155, 122)


def files_with_labels() -> tuple[Path, Mapping[str, np.ndarray]]:
    """magika's ONNX file, and files of this machine as it takes them, with what their endings say."""
    demo = _demo()
    source = demo.magika_model()
    labels = json.loads((source.parent / "config.min.json").read_text("utf-8"))["target_labels_space"]
    return source, demo.files_of_this_machine(labels)


def magika() -> Entry:
    """The trained file-type model on files of this machine."""
    source, data = files_with_labels()
    return Entry("magika", source, data, "top1 >= -2pt", _onnx_answers(source))


def resnet8() -> Entry:
    """MLPerf Tiny's ResNet-8 (Keras) on CIFAR-10's test images."""
    path = DATA / "cifar10" / "pretrainedResnet.h5"
    with np.load(DATA / "cifar10" / "test.npz") as archive:
        labels = archive["labels"].astype(np.int64)
    x = np.stack(list(cifar10(len(labels), 32))).astype(np.float32)
    return Entry("resnet8", path, {"x": x, "y": labels}, "top1 >= -1pt", _keras_answers(path), 512, 256)


def kws() -> Entry:
    """MLPerf Tiny's keyword spotting: tf2onnx's ONNX of the TFLite file with int8 weights and float arithmetic."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    path = DATA / "kws" / "kws_ref_model_float32.tflite"
    if not path.exists():
        raise FileNotFoundError(path)
    import tf2onnx

    source = Path(tempfile.mkdtemp()) / "kws.onnx"
    tf2onnx.convert.from_tflite(str(path), opset=18, output_path=str(source))
    with np.load(DATA / "kws" / "mfcc.npz") as archive:
        x = (archive["x"].astype(np.float32) - 83) * np.float32(0.58470)
        y = archive["y"].astype(np.int64)
    data = {"x": x.reshape(len(x), 49, 10, 1), "y": y}
    return Entry("kws", source, data, "top1 >= -3pt", _onnx_answers(source), 64, 64)


def _random_torchvision(name: str) -> Entry:
    import torch

    torch.manual_seed(0)
    net = getattr(torchvision_models(), name)(weights=None).eval()
    # Statistics of a few images, so that activations have the spread of a trained model's.
    x = np.stack([(image.astype(np.float32) - _MEAN) / _STD for image in cifar10(420, 224)]).transpose(0, 3, 1, 2)
    x = np.ascontiguousarray(x)
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.from_numpy(x[:32]))
    net.eval()
    return Entry(name, net, {"x": x}, "cosine >= 0.98", _torch_answers(net), 64, 64)


def mobilenet_v2() -> Entry:
    """torchvision's MobileNetV2 with random weights."""
    return _random_torchvision("mobilenet_v2")


def resnet18() -> Entry:
    """torchvision's ResNet-18 with random weights."""
    return _random_torchvision("resnet18")


ENTRIES: Mapping[str, Callable[[], Entry]] = {
    maker.__name__: maker for maker in (digits, kws, resnet8, magika, mobilenet_v2, resnet18)
}
