"""`edgewright compile`."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from ..calibration.classes import read_classes
from ..core.errors import UsageError
from ..device_profiles.loader import load
from ..optimizer.ingest.registered import fetch, is_registered
from ..optimizer.recipe import Recipe, read_recipe


@click.command()
@click.argument("model")
@click.option("--data", help="Samples: .npz, .npy, .csv, .parquet, a folder of images or audio, or module:function.")
@click.option("--profile", "profiles", multiple=True, help="A device profile by name or file; may be given several times.")
@click.option("--gate", "gates", multiple=True, help="What must hold, for example 'top1 >= -1pt'; may be given several times.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for artifacts and report.  [default: dist]")
@click.option("--name", help="Name of the model in files and manifests.")
@click.option("--weights", type=click.Path(path_type=Path), help="State dict or safetensors for package.module:factory.")
@click.option("--objective", help="latency, size or ram.  [default: latency]")
@click.option("--precision", "precisions", multiple=True, help="float32, float16 or int8; all by default.")
@click.option("--runtime", "runtimes", multiple=True, help="onnxruntime, openvino or litert; all of the profile by default.")
@click.option("--recipe", "recipes", multiple=True, help="safe, small, fast or tiny (see `edgewright recipes`).")
@click.option("--pipeline", "pipelines", multiple=True, help="A pipeline of your own, for example 'prune{amount=0.5},distill'.")
@click.option("--keras-step", "keras_steps", multiple=True, help="TFMOT on a Keras file, for example 'tfmot{kind=pqat}'.")
@click.option("--budget", help="Most time that recipes and pipelines may train, for example 10m.")
@click.option("--teacher", help="A larger model to distil from; the model itself by default.")
@click.option("--student", help="An architecture to distil into, as a model file or module:function.")
@click.option("--loss", help="Your own loss, as module:function.")
@click.option("--optimizer", help="Your own optimizer, as module:function.")
@click.option("--augment", help="Your own augmentation, as module:function.")
@click.option("--preprocess", help="Declared preprocessing, for example 'resize=224,layout=nchw,mean=127,std=128'.")
@click.option("--labels", help="Array or column that holds the labels.")
@click.option("--classes", help="Names of the classes in the order of the model's outputs: a,b,c or a file, one a line.")
@click.option("--input", "inputs", multiple=True, metavar="INPUT=ARRAY", help="Which array feeds which model input.")
@click.option("--group", help="Column whose values must not straddle splits (patient, speaker).")
@click.option("--shape", "shapes", multiple=True, metavar="INPUT=1x3x224x224", help="Sizes for free axes.")
@click.option("--accept", help="A data set of its own that judges the release.")
@click.option("--search", help="A data set of its own that chooses between candidates.")
@click.option("--calib", help="A data set of its own for calibration.")
@click.option("--audit", help="A share (0.1) or number (200) of samples to set aside, or a data set of its own.")
@click.option("--search-samples", type=int, help="Samples taken for search.  [default: 512]")
@click.option("--calib-samples", type=int, help="Samples taken for calib.  [default: 256]")
@click.option("--threads", type=int, help="Threads of the runtime; the profile's by default.")
@click.option("--seed", type=int, help="Seed of everything random.  [default: 0]")
@click.option("--store", type=click.Path(path_type=Path), help="Step store.  [default: .edgewright]")
@click.option("--ledger", type=click.Path(path_type=Path), help="File of looks at the judging data; beside them by default.")
@click.option("--measurements", type=click.Path(path_type=Path), help="Timings of an earlier compile, instead of new ones.")
@click.option("--emulate", metavar="DIR", type=click.Path(path_type=Path), help="Judge arm64 in a root of `emulation prepare`.")
@click.option("--trust", is_flag=True, default=None, help="Allow files that run code when they are loaded.")
@click.option("--json", "as_json", is_flag=True, help="Print report.json instead of tables.")
def compile(model: str, as_json: bool, **flags: Any) -> int:
    """Compile MODEL (or a recipe, edgewright.toml) to gated, measured artifacts.

    Exit code 0: released for every profile; 1: bad input; 2: a gate failed; 3: undecided.

    Example: edgewright compile model.onnx --data data.npz --profile x86-64-vnni --gate 'top1 >= -1pt' --out dist/
    """
    recipe = _recipe(model, flags)
    for name in recipe.profiles:
        load(name)  # a request that is wrong is refused before the compiler is loaded, which takes seconds
    from ..optimizer.compile import compile_recipe
    from ..optimizer.report.terminal import print_report
    from .progress import RichProgress

    with redirect_stdout(sys.stderr):  # what the user's own code prints is not the answer
        result = compile_recipe(recipe, RichProgress(is_quiet=as_json))
    if as_json:
        click.echo(json.dumps(result.report.to_json(), indent=1, ensure_ascii=False))
    else:
        from rich.console import Console

        print_report(result.report, Console(file=sys.stdout), recipe.out)
    return result.exit_code


def _recipe(model: str, flags: dict[str, Any]) -> Recipe:
    """Recipe of the flags that were given, over those of the file when MODEL is one."""
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    if "classes" in given:
        given["classes"] = read_classes(given["classes"])
    if "inputs" in given:
        given["inputs"] = dict(_pair(text, "--input") for text in given["inputs"])
    if "shapes" in given:
        given["shapes"] = {name: _sizes(sizes) for name, sizes in (_pair(text, "--shape") for text in given["shapes"])}
    for name in ("teacher", "student"):
        if name in given and ":" not in given[name]:
            given[name] = Path(given[name])
    if "audit" in given:
        given["audit"] = _number(given["audit"])
    if model.endswith(".toml"):
        return read_recipe(Path(model), given)
    if is_registered(model):
        return Recipe(model=fetch(model, given.get("store", Path(".edgewright")) / "registered"), **given)
    return Recipe(model=model if ":" in model else Path(model), **given)


def _number(text: str) -> float | str:
    """A share or number of samples, else the text: a file's name."""
    try:
        return float(text)
    except ValueError:
        return text


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.rpartition("=")
    if not equals or not name or not value:
        raise UsageError(f"{option} {text!r} is not NAME=VALUE.")
    return name, value


def _sizes(text: str) -> tuple[int, ...]:
    parts = text.lower().split("x")
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise UsageError(f"the shape {text!r} is not sizes joined by x; write for example 1x3x224x224.")
    return tuple(int(part) for part in parts)
