"""The child process of `keras_step`: the only place that imports tensorflow-model-optimization."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError, EdgewrightError, ModelError
from ...runtimes.inputs import first_line
from .keras_step import PHASES, Kind
from .lean import lean
from .quiet import quiet

_QUANTIZING_SHARE = 0.1  # of the learning rate, as in TFMOT's guides


def main(arguments: Sequence[str]) -> None:
    """Carry out the request in the folder `arguments[0]`; leaves failure.json there when it cannot."""
    scratch = Path(arguments[0])
    request = json.loads((scratch / "request.json").read_bytes())
    try:
        _Step(scratch, request).run()
    except EdgewrightError as error:
        (scratch / "failure.json").write_text(json.dumps({"error": str(error), "kind": type(error).__name__}))


class _Step:
    """One request: the model, the samples, and what is done to it."""

    def __init__(self, scratch: Path, request: Any) -> None:
        with quiet(), lean():
            import tensorflow
            import tensorflow_model_optimization
            import tf_keras
        self.tf, self.tfmot, self.keras = tensorflow, tensorflow_model_optimization, tf_keras
        self.request, self.options = request, request["step"]
        self.kind: Kind = self.options["kind"]
        self.phases = PHASES[self.kind]
        tf_keras.utils.set_random_seed(request["seed"] % (1 << 32))
        tensorflow.config.experimental.enable_op_determinism()
        self.inputs: list[NDArray[Any]] = [np.load(scratch / name, mmap_mode="r") for name in request["inputs"]]
        labels = scratch / "labels.npy"
        self.labels: NDArray[Any] | None = np.load(labels) if labels.exists() else None

    def run(self) -> None:
        """Load, train, and write the model with what there is to tell."""
        model = self._load()
        self._check(model)
        self.targets, self.loss = self._targets(model)
        phases = {"prune": self._prune, "cluster": self._cluster, "quantize": self._quantize}
        try:
            for phase in self.phases:
                model = phases[phase](model)
        except EdgewrightError:
            raise
        except Exception as error:
            raise ModelError(f"TFMOT cannot do {self.kind} on this model: {first_line(error)}.") from error
        folder = Path(self.request["folder"])
        is_quantized = "quantize" in self.phases
        file = "model.tflite" if is_quantized else "model.h5"
        if is_quantized:
            with quiet():
                converter = self.tf.lite.TFLiteConverter.from_keras_model(model)
                converter.optimizations = [self.tf.lite.Optimize.DEFAULT]
                (folder / file).write_bytes(converter.convert())
        else:
            with quiet():
                model.save(folder / file, include_optimizer=False)
        versions = {
            "tensorflow": self.tf.__version__,
            "tensorflow-model-optimization": self.tfmot.__version__,
            "tf-keras": self.keras.__version__,
        }
        (folder / "answer.json").write_text(json.dumps({"file": file, "notes": self._notes(model), "versions": versions}))

    def _load(self) -> Any:
        path = self.request["model"]
        try:
            with quiet():
                return self.keras.models.load_model(path, compile=False, safe_mode=not self.request["trust"])
        except Exception as first:
            try:
                with quiet():
                    with lean():
                        import keras

                    from .legacy_keras import to_legacy

                    return to_legacy(keras.models.load_model(path, compile=False, safe_mode=not self.request["trust"]))
            except EdgewrightError:
                raise
            except Exception as error:
                raise ModelError(f"neither Keras 2 nor 3 can load {path}: {first_line(error)}.") from first

    def _check(self, model: Any) -> None:
        shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
        ours = [tuple(array.shape[1:]) for array in self.inputs]
        if shapes != ours:
            raise DataError(
                f"the Keras model takes inputs of shape {shapes}, the samples have {ours}; give it samples of its own."
            )
        if len(model.outputs) != 1:
            raise ModelError(f"a Keras step trains models with one output, and this one has {len(model.outputs)}.")

    def _targets(self, model: Any) -> tuple[NDArray[Any], Any]:
        """What is trained towards, and the loss: labels of classes, values, or the model's own answers."""
        losses = self.keras.losses
        shape = tuple(model.outputs[0].shape)
        is_probability = getattr(model.layers[-1], "activation", None) in (
            self.keras.activations.softmax,
            self.keras.activations.sigmoid,
        ) or isinstance(model.layers[-1], self.keras.layers.Softmax)
        labels = self.labels
        if labels is None:
            return np.asarray(model.predict(self._given(), batch_size=256, verbose=0)), losses.MeanSquaredError()
        if labels.ndim == 1 and labels.dtype.kind in "iu" and len(shape) == 2 and shape[1] > 1:
            if labels.min() < 0 or labels.max() >= shape[1]:
                raise DataError(f"labels lie in {labels.min()} to {labels.max()}, the Keras model has {shape[1]} classes.")
            return labels, losses.SparseCategoricalCrossentropy(from_logits=not is_probability)
        if labels.ndim == 1 and labels.dtype.kind in "iub" and shape[1:] == (1,):
            return labels, losses.BinaryCrossentropy(from_logits=not is_probability)
        return labels, losses.MeanSquaredError()

    def _given(self) -> Any:
        return self.inputs[0] if len(self.inputs) == 1 else self.inputs

    def _fit(self, model: Any, share: float, callbacks: Sequence[Any]) -> None:
        """Train; the loss of every epoch must be finite."""

        def tell(epoch: int, logs: Any) -> None:
            loss = float(logs["loss"])
            if not np.isfinite(loss):
                raise ModelError(f"the loss of TFMOT's epoch {epoch + 1} is {loss}; lower lr ({self.options['lr']:g}).")
            print(json.dumps({"epoch": epoch, "loss": loss}), flush=True)  # noqa: T201

        model.compile(self.keras.optimizers.Adam(self.options["lr"] * share), self.loss)
        told = self.keras.callbacks.LambdaCallback(on_epoch_end=tell)
        size, epochs = self.options["batch"], self.options["epochs"]
        model.fit(self._given(), self.targets, batch_size=size, epochs=epochs, callbacks=[*callbacks, told], verbose=0)

    def _prune(self, model: Any) -> Any:
        sparsity = self.tfmot.sparsity.keras
        steps = -(-self.request["samples"] // self.options["batch"]) * self.options["epochs"]
        # The last quarter trains what is left with the masks fixed.
        end = max(1, steps * 3 // 4)
        schedule = sparsity.PolynomialDecay(0.0, self.options["sparsity"], 0, end, frequency=max(1, min(100, end // 4)))
        with quiet():
            wrapped = sparsity.prune_low_magnitude(model, schedule)
        self._fit(wrapped, 1.0, [sparsity.UpdatePruningStep()])
        return sparsity.strip_pruning(wrapped)

    def _cluster(self, model: Any) -> Any:
        clustering = self.tfmot.clustering.keras
        options: dict[str, Any] = {
            "number_of_clusters": self.options["clusters"],
            "cluster_centroids_init": clustering.CentroidInitialization.KMEANS_PLUS_PLUS,
        }
        if "prune" in self.phases:
            from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster

            with quiet():
                wrapped = cluster.cluster_weights(model, preserve_sparsity=True, **options)
        else:
            with quiet():
                wrapped = clustering.cluster_weights(model, **options)
        self._fit(wrapped, 1.0, [])
        return clustering.strip_clustering(wrapped)

    def _quantize(self, model: Any) -> Any:
        quantization, combine = self.tfmot.quantization.keras, self.tfmot.experimental.combine
        with quiet():
            annotated = quantization.quantize_annotate_model(model)
            if "cluster" in self.phases:
                scheme = combine.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity="prune" in self.phases)
                wrapped = quantization.quantize_apply(annotated, scheme)
            elif "prune" in self.phases:
                wrapped = quantization.quantize_apply(annotated, combine.Default8BitPrunePreserveQuantizeScheme())
            else:
                wrapped = quantization.quantize_apply(annotated)
        self._fit(wrapped, _QUANTIZING_SHARE, [])
        return combine.strip_clustering_cqat(wrapped) if "cluster" in self.phases else wrapped

    def _notes(self, model: Any) -> list[str]:
        """Zeros and distinct values of the kernels, where the step is about them."""
        kernels = [weight.numpy() for weight in model.weights if "kernel" in weight.name and weight.numpy().ndim > 1]
        notes = []
        if kernels and "prune" in self.phases:
            zeros = sum(int((kernel == 0).sum()) for kernel in kernels) / sum(kernel.size for kernel in kernels)
            notes.append(f"TFMOT: {zeros:.1%} of the kernels' weights are zero; no speed-up without sparse kernels")
        if kernels and "cluster" in self.phases:
            most = max(len(np.unique(kernel)) for kernel in kernels)
            notes.append(f"TFMOT: at most {most} distinct weights in a kernel; smaller only when compressed")
        return notes
