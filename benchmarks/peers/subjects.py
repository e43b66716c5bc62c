"""The models that all tools are given, each with its samples: real weights, real data, prepared once into a task's folder.

`$EDGEWRIGHT_DATA` has the data; the references of the headline come from `--cache`, trained there when they are missing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.images import cifar10, training_images
from benchmarks.peers import mobilenet
from benchmarks.peers.task import Task
from benchmarks.zoo import DATA, files_with_labels

Arrays = Mapping[str, np.ndarray]
CALIB, SEARCH, TRAIN = 128, 64, 4096
_UNSEEN = 40_000  # of CIFAR-10's training images: those after it were not trained on by any model here
_TOKENS = 16


@dataclass(frozen=True)
class Subject:
    """A model, its parts, and how it is judged; `model` is a torch module, or the path of a file or SavedModel."""

    name: str
    model: Any
    parts: Mapping[str, Arrays]
    metric: str
    gate: str
    input: str = "x"
    weights: Path | None = None


def _taken(arrays: Arrays, start: int, count: int) -> Arrays:
    return {name: np.ascontiguousarray(array[start : start + count]) for name, array in arrays.items()}


def _split(arrays: Arrays, judged: int, seed: int = 0) -> dict[str, Arrays]:
    """Shuffled: what judges, then what chooses, then what calibrates (and trains)."""
    order = np.random.default_rng(seed).permutation(len(arrays["x"]))
    mixed = {name: array[order] for name, array in arrays.items()}
    rest = len(order) - judged - SEARCH
    calib = _taken(mixed, judged + SEARCH, min(CALIB, rest))
    return {
        "accept": _taken(mixed, 0, judged),
        "search": _taken(mixed, judged, SEARCH),
        "calib": calib,
        "train": _taken(mixed, judged + SEARCH, rest),
    }


def _cifar(size: int, judged: int, scaled: Callable[[np.ndarray], np.ndarray]) -> dict[str, Arrays]:
    """CIFAR-10's test images judge; images that no model trained on calibrate and train anew."""
    from PIL import Image

    with np.load(DATA / "cifar10" / "test.npz") as archive:
        labels = archive["labels"].astype(np.int64)
    images, classes = training_images(TRAIN + SEARCH, _UNSEEN)
    if size != 32:
        resized = (Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC) for image in images)
        images = np.stack([np.asarray(image) for image in resized])
    learned = {"x": scaled(images.astype(np.float32)), "y": classes}
    return {
        "accept": {"x": scaled(np.stack(list(cifar10(judged, size))).astype(np.float32)), "y": labels[:judged]},
        "search": _taken(learned, TRAIN, SEARCH),
        "calib": _taken(learned, 0, CALIB),
        "train": _taken(learned, 0, TRAIN),
    }


def resnet8(cache: Path, judged: int) -> Subject:
    """MLPerf Tiny's ResNet-8 (Keras) on CIFAR-10."""
    path = DATA / "cifar10" / "pretrainedResnet.h5"
    return Subject("resnet8", path, _cifar(32, judged, lambda x: x), "top1", "top1 >= -3pt")


def mobilenet_v2(cache: Path, judged: int) -> Subject:
    """Keras' MobileNetV2 (0.35, 48x48), trained on CIFAR-10 by benchmarks.peers.mobilenet."""
    path = mobilenet.file_of(cache)
    if not path.exists():
        mobilenet.train(cache, epochs=8)
    parts = _cifar(mobilenet.SIZE, judged, lambda x: x / np.float32(127.5) - 1)
    return Subject("mobilenet_v2", path, parts, "top1", "top1 >= -3pt", weights=path.with_suffix(".npz"))


def kws(cache: Path, judged: int) -> Subject:
    """MLPerf Tiny's keyword spotting (a DS-CNN), from its SavedModel."""
    with np.load(DATA / "kws" / "mfcc.npz") as archive:
        x = (archive["x"].astype(np.float32) - 83) * np.float32(0.58470)
        y = archive["y"].astype(np.int64)
    parts = _split({"x": x.reshape(len(x), 49, 10, 1), "y": y}, min(judged, 400))
    return Subject("kws", DATA / "kws" / "saved_model", parts, "top1", "top1 >= -5pt")


def efficientnet_lite0(cache: Path, judged: int) -> Subject:
    """EfficientNet-Lite0 (torch, ImageNet's weights) on natural images without ImageNet's labels."""
    from benchmarks.efficientnet_int8 import images
    from benchmarks.models import efficientnet_lite0 as module

    judged = min(judged, 500)
    x = images(judged + SEARCH + CALIB)
    parts = _split({"x": x}, judged)
    return Subject("efficientnet_lite0", module(), parts, "agreement", "agreement >= 80%", "image")


def resnet20(cache: Path, judged: int) -> Subject:
    """ResNet-20 (torch) on CIFAR-10, of the headline's references."""
    return _reference("resnet20", cache, judged, "top1", "top1 >= -3pt")


def autoencoder(cache: Path, judged: int) -> Subject:
    """784-128-32-8-32-128-784 (torch) of the headline's references: which images of MNIST are another digit."""
    # A gate of one's own is computed thousands of times a candidate: that the answers stay what they are will do here.
    return _reference("autoencoder", cache, judged, "auc of error", "cosine >= 0.95")


def lenet5(cache: Path, judged: int) -> Subject:
    """LeNet-5 (torch) on MNIST, of the headline's references."""
    return _reference("lenet5", cache, judged, "top1", "top1 >= -3pt")


def spoken_digits(cache: Path, judged: int) -> Subject:
    """A DS-CNN (torch) on spoken digits, of the headline's references."""
    return _reference("spoken_digits", cache, judged, "top1", "top1 >= -3pt")


def _reference(name: str, cache: Path, judged: int, metric: str, gate: str) -> Subject:
    from edgewright.calibration.preprocess import Preprocessing

    from benchmarks.references.registry import REFERENCES

    reference = REFERENCES[name](cache)
    scaling = Preprocessing.parse(reference.preprocess)

    def part(arrays: Arrays, count: int) -> Arrays:
        order = np.random.default_rng(0).permutation(len(arrays["x"]))[:count]
        x = arrays["x"][order]
        labels = {"y": arrays["y"][order]} if "y" in arrays else {}
        return {"x": np.ascontiguousarray(scaling.apply(x) if reference.preprocess else x), **labels}

    parts = {
        "accept": part(reference.accept, judged),
        "search": part(reference.search, SEARCH),
        "calib": part(reference.train, CALIB),
        "train": part(reference.train, TRAIN),
    }
    return Subject(name, reference.module.eval(), parts, metric, gate)


def minilm(cache: Path, judged: int) -> Subject:
    """The sentence encoder MiniLM (torch) on the first 16 tokens of STS-B's longer sentences."""
    from tokenizers import Tokenizer

    from benchmarks.sequences import minilm as module
    from benchmarks.sequences import minilm_folder

    tokenizer = Tokenizer.from_file(str(minilm_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def tokens(file: str, count: int) -> np.ndarray:
        lines = (DATA / "stsb" / file).read_text("utf-8").splitlines()
        ids = (tokenizer.encode(line.split("\t")[5]).ids for line in lines)
        rows = {tuple(row[:_TOKENS]) for row in ids if len(row) >= _TOKENS}
        return np.array(sorted(rows), np.int64)[np.random.default_rng(0).permutation(len(rows))[:count]]

    learned = {"x": tokens("sts-train.csv", CALIB + SEARCH)}
    parts = {
        "accept": {"x": tokens("sts-dev.csv", min(judged, 400))},
        "search": _taken(learned, CALIB, SEARCH),
        "calib": _taken(learned, 0, CALIB),
        "train": _taken(learned, 0, CALIB),
    }
    return Subject("minilm", module(), parts, "cosine", "cosine >= 0.95")


def magika(cache: Path, judged: int) -> Subject:
    """The file-type model magika (ONNX) on files of this machine."""
    source, data = files_with_labels()
    return Subject("magika", source, _split(data, judged), "top1", "top1 >= -3pt", "bytes")


SUBJECTS: Mapping[str, Callable[[Path, int], Subject]] = {
    maker.__name__: maker
    for maker in (
        resnet8,
        kws,
        autoencoder,
        resnet20,
        magika,
        mobilenet_v2,
        efficientnet_lite0,
        minilm,
        lenet5,
        spoken_digits,
    )
}


def prepare(name: str, cache: Path, folder: Path, judged: int) -> Task:
    """The task of a model: made anew when other numbers of samples are asked for; raises FileNotFoundError."""
    stamp = folder / "stamp.json"
    wanted = json.dumps({"judged": judged, "calib": CALIB, "train": TRAIN})
    if stamp.exists() and stamp.read_text("utf-8") == wanted:
        return Task.read(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    subject = SUBJECTS[name](cache, judged)
    for part, arrays in subject.parts.items():
        np.savez(folder / f"{part}.npz", **arrays)
    from benchmarks.peers.forms import forms_of

    source, forms, tflite_by = forms_of(subject, folder)
    task = Task(folder, subject.name, subject.input, subject.metric, subject.gate, source, forms, tflite_by)
    task.write()
    stamp.write_text(wanted, "utf-8")
    return task
