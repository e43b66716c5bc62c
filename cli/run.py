"""`edgewright run`: inputs from .npz or .npy through an artifact, outputs to .npz or .npy."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.artifact_read import open_artifact
from ..core.canonical import dumps
from ..core.errors import ArtifactError, DataError, UsageError
from ..core.executor import TensorSpec
from ..core.files import write_atomic
from ..core.manifest import Manifest
from ..core.progress import Progress, Silent
from ..runtimes.bench.batches import run_all
from ..runtimes.bench.opening import runtime_version
from ..runtimes.remote import RemoteExecutor

if TYPE_CHECKING:
    from numpy.typing import NDArray


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--input", "source", required=True, type=click.Path(path_type=Path), help="Samples: .npz by input, or .npy.")
@click.option("--output", "target", required=True, type=click.Path(path_type=Path), help="Where the outputs go: .npz or .npy.")
@click.option("--raw", is_flag=True, help="The samples are raw: apply the preprocessing that the manifest declares.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Threads of the runtime; the artifact's own by default.")
@click.option("--json", "as_json", is_flag=True, help="Print file, outputs, samples and seconds as one JSON object.")
def run(artifact: Path, source: Path, target: Path, raw: bool, threads: int | None, as_json: bool) -> None:
    """Run an ARTIFACT on samples from a file; any number of them, each by itself, in a child process.

    The .npz holds one array for each of the model's inputs ("x" where there is one only); other arrays are left alone.

    Example: edgewright run dist/model-x86-64-avx2.ewa --input samples.npz --output answers.npz
    """
    found = open_artifact(artifact)
    manifest = found.manifest
    if target.suffix not in (".npz", ".npy"):
        raise UsageError(f"cannot tell the format of --output {target}; give it the ending .npz or .npy.")
    if target.suffix == ".npy" and len(manifest.outputs) != 1:
        raise UsageError(
            f"the model has {len(manifest.outputs)} outputs, and a .npy holds one array; give --output an ending .npz."
        )
    inputs = read_inputs(source, manifest.inputs)
    if raw:
        inputs = _preprocessed(manifest, inputs)
    check_samples(manifest.inputs, inputs)
    _check_finite(inputs)
    runtime_version(manifest.runtime.name)
    with RemoteExecutor(manifest.runtime.name, threads or manifest.target.threads) as executor:
        executor.load(found.files, manifest.entry)
        start = time.perf_counter()
        outputs = run_all(executor, inputs, Silent() if as_json else _progress(), "samples")
        seconds = time.perf_counter() - start
    write_outputs(target, outputs)
    if as_json:
        specs = [{"name": name, "dtype": array.dtype.name, "shape": list(array.shape)} for name, array in outputs.items()]
        samples = len(next(iter(inputs.values())))
        click.echo(dumps({"file": str(target), "outputs": specs, "samples": samples, "seconds": seconds}))
        return
    made = ", ".join(f"{name} {array.dtype.name}{list(array.shape)}" for name, array in outputs.items())
    click.echo(f"{target}: {made}")


def read_inputs(path: Path, specs: tuple[TensorSpec, ...]) -> dict[str, NDArray[Any]]:
    """The model's inputs from a .npz (by name, or `x` or the only array for an only input) or a .npy; raises DataError."""
    import numpy as np

    names = [spec.name for spec in specs]
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                if len(names) != 1:
                    raise DataError(
                        f"{path} holds one array, and the model has the inputs {names}; give a .npz with these names."
                    )
                return {names[0]: np.asarray(loaded)}
            return {name: loaded[key] for name, key in _keys(path, names, loaded.files).items()}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, MemoryError, NotImplementedError) as error:
        reason = str(getattr(error, "strerror", None) or error or type(error).__name__).splitlines()[0].rstrip(".")
        raise DataError(f"cannot read {path} as .npz or .npy arrays without pickles: {reason}.") from error


def check_samples(specs: tuple[TensorSpec, ...], inputs: Mapping[str, NDArray[Any]]) -> None:
    """Types, shapes and numbers of samples against the model's specifications, any batch; raises DataError."""
    counts: dict[str, int] = {}
    for spec in specs:
        array = inputs[spec.name]
        sizes = spec.shape[1:]
        wanted = ", ".join(["samples", *("any" if size is None else str(size) for size in sizes)])
        fits = array.ndim == len(spec.shape) and array.ndim > 0
        if not fits or any(size not in (None, given) for size, given in zip(sizes, array.shape[1:], strict=True)):
            raise DataError(
                f"the input {spec.name!r} has shape {list(array.shape)}, and the model wants [{wanted}]; reshape it."
            )
        if array.dtype.name != spec.dtype:
            raise DataError(f"the input {spec.name!r} is {array.dtype.name}; convert it to {spec.dtype}.")
        counts[spec.name] = len(array)
    if len(set(counts.values())) != 1 or 0 in counts.values():
        told = ", ".join(f"{name!r} {count}" for name, count in counts.items())
        raise DataError(f"each input needs the same number of samples, one at least; there are {told}.")


def write_outputs(path: Path, outputs: Mapping[str, NDArray[Any]]) -> None:
    """Write the arrays to `path`, whole or not at all; the same arrays give the same bytes."""
    import numpy as np

    buffer = io.BytesIO()
    if path.suffix == ".npy":
        np.lib.format.write_array(buffer, next(iter(outputs.values())), allow_pickle=False)
    else:
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, array in outputs.items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
    write_atomic(path, buffer.getvalue())


def _keys(path: Path, names: list[str], there: list[str]) -> dict[str, str]:
    """Which array of a .npz feeds which input."""
    if set(names) <= set(there):
        return {name: name for name in names}
    if len(names) == 1 and "x" in there:
        return {names[0]: "x"}
    if len(names) == 1 and len(there) == 1:
        return {names[0]: there[0]}
    missing = [name for name in names if name not in there]
    raise DataError(f"{path} has the arrays {sorted(there)}, and the model's inputs {missing} are not among them.")


def _preprocessed(manifest: Manifest, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    if manifest.preprocessing is None:
        raise UsageError("the artifact declares no preprocessing; leave --raw away.")
    from ..calibration.preprocess import Preprocessing

    try:
        steps = Preprocessing.from_json(manifest.preprocessing)
    except (TypeError, ValueError, AttributeError) as error:
        raise ArtifactError("the artifact declares a preprocessing that cannot be read; compile it again.") from error
    return {name: steps.apply(array, name) for name, array in inputs.items()}


def _check_finite(inputs: Mapping[str, NDArray[Any]]) -> None:
    import numpy as np

    for name, array in inputs.items():
        finite = np.isfinite(array)
        if not finite.all():
            first = int(np.flatnonzero(~finite.reshape(len(array), -1).all(axis=1))[0])
            raise DataError(f"the input {name!r} has values that are NaN or infinite, first in sample {first}; clean the data.")


def _progress() -> Progress:
    """Bars where rich is installed, which a device need not have."""
    try:
        from .progress import RichProgress
    except ImportError:
        return Silent()
    return RichProgress()
