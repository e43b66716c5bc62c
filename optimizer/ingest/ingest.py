"""`ingest`: a trained model of any framework becomes the canonical model, and proves that it answers as its source does."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from ...core.canonical import digest_file, digest_json
from ...core.errors import EdgewrightError, ModelError, TrustError, UsageError
from ...core.freeing import freed_at_once, give_back
from ...core.progress import Progress, Silent
from ...ir import serde
from ...ir.model import Model
from ...ir.rewrites.batch import fix_shapes
from ...ir.rewrites.canonicalize import Canonicalize
from ...ir.rewrites.strip import Strip
from ...ir.verify import verify, verify_weights
from .convert import Converted
from .detect import READS, detect
from .parity import EIGHT_BIT_TOLERANCE, TOLERANCE, Parity, check_alone, compare, run_onnx
from .samples import Samples, match_samples, random_samples

_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_PACKAGES = ("onnx", "onnx-ir", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Ingested:
    """A canonical model and where it came from.

    `source_format`: "onnx", "torch", "pt2", "keras", "tensorflow" or "tflite". `source_digest`: SHA-256 of a source's file (of
    all files of a folder), or of the exported graph where the source is an object. `parity`: None only when `model` was given
    as a `Model`. `notes`: a line for each thing worth telling. `versions`: of the frameworks and libraries that took part.
    """

    model: Model
    source_format: str
    source_digest: str
    parity: Parity | None
    notes: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


def ingest(
    source: Any,
    *,
    samples: Samples | None = None,
    shapes: Mapping[str, Sequence[int | None]] | None = None,
    weights: str | Path | None = None,
    trust: bool = False,
    progress: Progress | None = None,
) -> Ingested:
    """Canonical model of `source`, checked against it.

    `source` is a path (ONNX, .pt2, .keras, .h5, .tflite, told apart by content, or the folder of a SavedModel), the text
    `package.module:factory`, a `torch.nn.Module`, a `torch.export.ExportedProgram`, a Keras model or a `Model`. `samples` are
    arrays [n, ...] by input name for the parity check (seeded random ones otherwise, of which some models need the real kind).
    `shapes` gives free axes their sizes, and a module its inputs. `weights` is the state dict for a factory. Raises ModelError,
    ParityError, DataError, UsageError, or TrustError when a file would run code and `trust` is not given.
    """
    show = progress if progress is not None else Silent()
    with show.task("ingest"), freed_at_once():
        if isinstance(source, Model):
            return Ingested(_canonical(source), "onnx", source.digest(), None, (), _versions())
        source_format, source_digest, converted = _convert(source, samples, shapes, weights, trust)
    give_back()
    with show.task("parity"), freed_at_once():
        return _checked(source_format, source_digest, converted, shapes)


def _convert(
    source: Any,
    samples: Samples | None,
    shapes: Mapping[str, Sequence[int | None]] | None,
    weights: str | Path | None,
    trust: bool,
) -> tuple[str, str | None, Converted]:
    """Format, digest of the source (None: that of the graph), and what it became."""
    if not isinstance(source, (str, Path)):
        return _convert_object(source, samples, shapes)
    if isinstance(source, str) and _FACTORY.fullmatch(source) and not Path(source).exists():
        from .torch_files import load_weights, make_module
        from .torch_module import convert_module

        module = make_module(source)
        if weights is None:
            return "torch", None, convert_module(module, samples, shapes)
        load_weights(module, Path(weights), trust)
        found = digest_json({"factory": source, "weights": digest_file(Path(weights))})
        return "torch", found, convert_module(module, samples, shapes)
    if weights is not None:
        raise UsageError(f"weights go with package.module:factory, not with the file {source}; leave them out.")
    path = Path(source)
    return _convert_file(path, samples, shapes, trust)


def _convert_object(
    source: Any, samples: Samples | None, shapes: Mapping[str, Sequence[int | None]] | None
) -> tuple[str, str | None, Converted]:
    roots = {kind.__module__.split(".")[0] for kind in type(source).__mro__}
    if "torch" in roots:
        from .torch_module import convert_module, convert_program

        if hasattr(source, "graph_signature"):
            return "pt2", None, convert_program(source, samples)
        if hasattr(source, "forward"):
            return "torch", None, convert_module(source, samples, shapes)
    if "keras" in roots and hasattr(source, "save"):
        from .tensorflow_job import convert_in_child

        with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
            path = Path(folder) / "model.keras"
            source.save(path)
            # The object is already in this process: its own layers have run.
            return "keras", None, convert_in_child(path, "keras", samples, trust=True)
    raise UsageError(f"a {type(source).__name__} is no model; give a path, package.module:factory, a torch or a Keras model.")


def _convert_file(
    path: Path, samples: Samples | None, shapes: Mapping[str, Sequence[int | None]] | None, trust: bool
) -> tuple[str, str | None, Converted]:
    kind = detect(path)
    if kind == "onnx":
        return "onnx", digest_file(path), _convert_onnx(path, samples, shapes)
    if kind in ("keras", "hdf5"):
        from .keras_config import check_config
        from .tensorflow_job import convert_in_child

        check_config(path, kind == "keras", trust)
        return "keras", digest_file(path), _named_after(path, kind, convert_in_child, samples, trust)
    if kind == "saved_model":
        if not trust:
            raise TrustError(
                f"{path} is a SavedModel, which TensorFlow runs as a program with all of your rights; if you trust its maker, "
                "give --trust."
            )
        from .tensorflow_job import convert_in_child

        return "tensorflow", _digest_of_folder(path), convert_in_child(path, "saved_model", samples, trust, shapes)
    if kind == "tflite":
        from .tensorflow_job import convert_in_child

        return "tflite", digest_file(path), convert_in_child(path, "tflite", samples, trust)
    if kind == "pt2":
        from . import pt2
        from .torch_module import convert_program

        return "pt2", digest_file(path), convert_program(pt2.load(path, trust), samples)
    if kind == "safetensors":
        raise ModelError(
            f"{path} holds weights and not how the model computes; name the factory as package.module:factory "
            "and give this file as its weights."
        )
    if kind == "torchscript":
        error = TrustError if not trust else ModelError
        raise error(f"{path} is TorchScript, which is code; save the model with torch.export.save as .pt2 and give that.")
    from .torch_files import whole_module
    from .torch_module import convert_module

    return "torch", digest_file(path), convert_module(whole_module(path, trust), samples, shapes)


def _digest_of_folder(path: Path) -> str:
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return digest_json({file.relative_to(path).as_posix(): digest_file(file) for file in files})


def _named_after(path: Path, kind: str, convert: Any, samples: Samples | None, trust: bool) -> Converted:
    """Keras tells its formats apart by the ending, so a file with another one is given to it under a link."""
    ending = ".keras" if kind == "keras" else ".h5"
    if path.suffix in (ending, ".hdf5" if kind == "hdf5" else ending):
        converted: Converted = convert(path, "keras", samples, trust)
        return converted
    with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
        link = Path(folder) / f"model{ending}"
        link.symlink_to(path.resolve())
        renamed: Converted = convert(link, "keras", samples, trust)
        return renamed


def _convert_onnx(path: Path, samples: Samples | None, shapes: Mapping[str, Sequence[int | None]] | None) -> Converted:
    try:
        model = Model.load(path).with_mapped_weights()
    except ModelError:
        if path.suffix != ".onnx":
            raise ModelError(f"{path} is no model that this version reads; it reads {READS}.") from None
        raise
    for what, specs in (("inputs", model.inputs), ("outputs", model.outputs)):
        if not specs:
            raise ModelError(f"{path} has no {what}, so there is nothing to run; export it with them.")
    # Before anything reads the graph: what is not finite here makes every later answer worthless.
    verify_weights(model)
    give_back()
    sized = _with_shapes(model, shapes)
    inputs = match_samples(samples, sized.inputs) if samples is not None else random_samples(sized.inputs)
    return Converted(model, inputs, run_onnx(str(path), inputs, sized.inputs))


def _with_shapes(model: Model, shapes: Mapping[str, Sequence[int | None]] | None) -> Model:
    """The model with the shapes for free axes that are the user's; those of its batch stay free."""
    if not shapes:
        return model
    # The batch axis is fixed when a file is lowered, not here.
    return fix_shapes(model, {name: (None, *shape[1:]) if shape else shape for name, shape in shapes.items()})


def _checked(
    source_format: str, source_digest: str | None, converted: Converted, shapes: Mapping[str, Sequence[int | None]] | None
) -> Ingested:
    verify_weights(converted.model)
    found = source_digest or converted.model.digest()
    model = _with_shapes(_canonical(converted.model), shapes if source_format == "onnx" else None)
    give_back()
    count = len(next(iter(converted.inputs.values()))) if converted.inputs else 0
    tolerance = EIGHT_BIT_TOLERANCE if converted.is_eight_bit else TOLERANCE
    with model.on_disk() as file:
        answers = run_onnx(str(file), converted.inputs, model.inputs)
        parity = compare(converted.outputs, answers, count, tolerance)
        check_alone(str(file), converted.inputs, answers, model.inputs)
    return Ingested(model, source_format, found, parity, converted.notes, {**_versions(), **converted.versions})


def _canonical(model: Model) -> Model:
    """Stripped and canonical; raises ModelError when it breaks ONNX's rules."""
    try:
        stripped = Strip().run(model).model
        result = Canonicalize().run(stripped).model
        verify(result)
    except EdgewrightError:
        raise
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"the model cannot be brought to its canonical form: {reason}; export it with opset {serde.OPSET}."
        ) from error
    return result


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in _PACKAGES}
