"""`edgewright samples`: labelled samples as a data set for the next training."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..core.canonical import dumps
from ..core.files import write_atomic
from .remote import Remote, remote

if TYPE_CHECKING:
    from ..fleet.telemetry.sample_set import Labelled


@click.group()
def samples() -> None:
    """Use the examples that devices sent, where somebody there agreed to it.

    Example: edgewright samples export --model digits --out new.npz
    """


@samples.command()
@click.option("--model", required=True, metavar="NAME", help="Of which model.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The .npz to write.")
@click.option("--unlabelled", is_flag=True, help="Those without a label in place of the labelled, to be looked at.")
@remote
def export(server: Remote, as_json: bool, model: str, out: Path, unlabelled: bool) -> None:
    """Write the labelled samples of a model: an array an input, `y`, and columns (sample, device, at, artifact, confidence).

    \b
    Example: edgewright samples export --model digits --out new.npz
    Example: edgewright samples export --model digits --unlabelled --out look.npz
    """
    import numpy as np

    from ..fleet.telemetry.sample_set import data_set

    arrays, passed_over = data_set(exported(server, model, "unlabelled" if unlabelled else "labelled"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue(), zipfile.ZIP_DEFLATED)
    write_atomic(out, buffer.getvalue())
    count = len(arrays["sample"])
    if as_json:
        click.echo(dumps({"out": str(out), "passed_over": list(passed_over), "samples": count}))
        return
    for sentence in passed_over:
        click.echo(sentence, err=True)
    click.echo(f"{out}: {count:,} samples of {model}, arrays {', '.join(arrays)}")


def exported(server: Remote, model: str, state: str) -> Iterator[Labelled]:
    """The "labelled" or "unlabelled" samples of a model in the order of their ids."""
    from ..fleet.telemetry.sample_set import Labelled

    query = {"model": model, "state": state}
    for item in server.pages("samples", "samples", "files", query=query):
        yield Labelled(item["id"], item["device"], base64.b64decode(item["file"]), item["label"])
