"""An `nn.Module` or an exported program becomes a graph, through torch's own exporter."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError, ModelError, unknown
from ...core.executor import TensorSpec
from ...ir import serde
from ...ir.model import Model
from ...runtimes.inputs import first_line
from .convert import Converted
from .quiet import quiet
from .samples import Samples, fixed_batch, match_samples, random_samples

if TYPE_CHECKING:
    from collections.abc import Iterator

Shapes = Mapping[str, Sequence[int | None]]

# torch.export takes a size of one for a constant, so the example of a free batch has two samples.
_EXAMPLE = 2


def convert_module(module: Any, samples: Samples | None, shapes: Shapes | None) -> Converted:
    """Graph of an `nn.Module` in inference mode, with a free first axis where the module allows one.

    `shapes` (float32 inputs) or `samples` say what the inputs are. Raises ModelError when torch cannot export it.
    """
    import torch

    names = _parameters(module, samples, shapes)
    specs = _specs(names, samples, shapes)
    inputs = match_samples(samples, specs) if samples is not None else random_samples(specs)
    with _inference(module), torch.no_grad():
        first = _named(_flat(_call(module, [inputs[name][:1] for name in names])))
        model, notes = _export(module, specs, inputs, list(first))
        answers = _answers(module, model.inputs, inputs)
    return Converted(model, inputs, answers, notes, {"torch": torch.__version__})


def convert_program(program: Any, samples: Samples | None) -> Converted:
    """Graph of a `torch.export.ExportedProgram`; its free axes stay as it was exported. Raises ModelError."""
    import torch

    # The placeholders of the inputs come after those of the weights, named as in the signature.
    user = [str(name) for name in program.graph_signature.user_inputs]
    found = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name in user}
    specs = [
        TensorSpec(
            name, _dtype(found[name].dtype), tuple(size if isinstance(size, int) else None for size in found[name].shape)
        )
        for name in user
    ]
    inputs = match_samples(samples, specs) if samples is not None else random_samples(specs)
    with torch.no_grad():
        answers = _answers(program.module(), specs, inputs)
        made = _to_onnx(program, (), user, list(answers), None)
    return Converted(_model(made), inputs, answers, (), {"torch": torch.__version__})


def _answers(module: Any, specs: Sequence[TensorSpec], inputs: Samples) -> dict[str, NDArray[Any]]:
    """What the module says to all samples, in batches of the size that the graph has."""
    count = len(next(iter(inputs.values()))) if inputs else 1
    size = fixed_batch(specs) or count
    parts = [
        _flat(_call(module, [inputs[spec.name][start : start + size] for spec in specs])) for start in range(0, count, size)
    ]
    return _named([np.concatenate(part) if len(part) > 1 else part[0] for part in zip(*parts, strict=True)])


def _parameters(module: Any, samples: Samples | None, shapes: Shapes | None) -> list[str]:
    """Names of the inputs: the parameters of `forward`, as many as there are samples or shapes."""
    given = list(samples if samples is not None else shapes or ())
    if not given:
        raise ModelError(
            "a PyTorch module does not say what its inputs are; give samples, or a shape, as in --shape x=1x3x224x224."
        )
    names: list[str] = []
    for parameter in inspect.signature(module.forward).parameters.values():
        if parameter.kind == parameter.VAR_POSITIONAL:
            names += [f"input_{index}" for index in range(len(names), len(given))]
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            names.append(parameter.name)
    if len(given) == 1:
        return names[:1] or given
    for name in given:
        if name not in names:
            raise DataError(f"the inputs of the module: {unknown('input', name, names)}")
    return names[: len(given)]


def _specs(names: Sequence[str], samples: Samples | None, shapes: Shapes | None) -> list[TensorSpec]:
    if samples is not None:
        arrays = [next(iter(samples.values()))] if len(names) == 1 else [samples.get(name) for name in names]
        for name, array in zip(names, arrays, strict=True):
            if array is None:
                raise DataError(f"the samples have no array for the input {name!r}; add one of that name.")
        return [
            TensorSpec(name, np.asarray(array).dtype.name, (None, *np.asarray(array).shape[1:]))
            for name, array in zip(names, arrays, strict=True)
        ]
    given = dict(shapes or {})
    if len(names) == 1:
        given = {names[0]: next(iter(given.values()))}
    return [TensorSpec(name, "float32", (None, *given[name][1:])) for name in names]


@contextmanager
def _inference(module: Any) -> Iterator[None]:
    """Every part in inference mode, and afterwards as it was."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def _call(module: Any, arrays: Sequence[NDArray[Any]]) -> Any:
    import torch

    try:
        with quiet():
            return module(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))
    except Exception as error:
        shapes = ", ".join("x".join(map(str, array.shape)) for array in arrays)
        raise ModelError(f"the PyTorch module fails on inputs of shape {shapes}: {first_line(error)}.") from error


def _flat(result: Any) -> list[NDArray[Any]]:
    """The tensors of whatever structure a module returns, in order."""
    import torch
    from torch.utils import _pytree

    leaves = [leaf for leaf in _pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor)]
    if not leaves:
        raise ModelError("the PyTorch module returns no tensor; wrap it in one that does.")
    return [leaf.detach().cpu().numpy() for leaf in leaves]


def _named(outputs: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    if len(outputs) == 1:
        return {"output": outputs[0]}
    return {f"output_{index}": array for index, array in enumerate(outputs)}


def _export(module: Any, specs: Sequence[TensorSpec], inputs: Samples, outputs: Sequence[str]) -> tuple[Model, tuple[str, ...]]:
    """The graph with a free batch, else with a batch of one and a note that says why."""
    import torch

    names = [spec.name for spec in specs]

    def example(count: int) -> tuple[Any, ...]:
        picked = {name: np.resize(inputs[name], (count, *inputs[name].shape[1:])) for name in names}
        return tuple(torch.from_numpy(np.ascontiguousarray(picked[name])) for name in names)

    batch = torch.export.Dim("batch", min=1)
    try:
        free = _model(_to_onnx(module, example(_EXAMPLE), names, outputs, _by_parameter(module, names, {0: batch})))
        if fixed_batch(free.inputs) is None:
            return free, ()
        # The exporter drops a free axis without a word when the module's code fixes it.
        reason = "its code reads the size of the batch"
    except ModelError as error:
        reason = str(error)
    fixed = _model(_to_onnx(module, example(1), names, outputs, None))
    return fixed, (f"the batch is fixed to 1: {reason}",)


def _by_parameter(module: Any, names: Sequence[str], axes: Any) -> Any:
    """Dynamic axes in the structure of the arguments: starred parameters are nested."""
    kinds = [parameter.kind for parameter in inspect.signature(module.forward).parameters.values()]
    starred = inspect.Parameter.VAR_POSITIONAL
    if starred in kinds:
        before = kinds.index(starred)
        return (*(axes for _ in names[:before]), tuple(axes for _ in names[before:]))
    return tuple(axes for _ in names)


def _to_onnx(module: Any, args: Any, names: Sequence[str], outputs: Sequence[str], dynamic: Any) -> Any:
    import torch

    try:
        with quiet(), tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
            return torch.onnx.export(
                module,
                args,
                dynamo=True,
                # Its optimizer folds batch norm into convolutions, which training still needs whole.
                optimize=False,
                opset_version=serde.OPSET,
                input_names=list(names),
                output_names=list(outputs),
                dynamic_shapes=dynamic,
                verbose=False,
                report=False,
                dump_exported_program=False,
                artifacts_dir=folder,
            )
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise ModelError(f"torch cannot export the module: {first_line(cause)}; export it to ONNX yourself.") from error


def _model(program: Any) -> Model:
    """The graph with weights of its own: the exporter's still belong to the module."""
    return Model.from_bytes(Model(program.model).to_bytes(), "torch's export")


def _dtype(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")
