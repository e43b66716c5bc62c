"""`edgewright labels`: tell what is true of samples and answers; see what waits for a label."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

import click

from ..core.canonical import dumps
from ..core.errors import UsageError
from ..core.files import write_atomic
from .amounts import moment
from .remote import Remote, remote
from .table import since, table

_MAX_BYTES, _MAX_ROWS = 64 << 20, 50_000
_SHORT = 12  # digits of an id that are shown
_SAMPLES, _ANSWERS = {"sample", "label"}, {"device", "at", "predicted", "label"}
_CLASS = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)

T = TypeVar("T")
_model = click.option("--model", required=True, metavar="NAME", help="Which model.")


@click.group()
def labels() -> None:
    """Tell the server what is true: of samples that devices sent, or of answers that you know the truth of.

    Example: edgewright labels push labels.csv --model digits
    """


@labels.command()
@click.argument("file", type=click.Path(path_type=Path))
@_model
@click.option("--classes", metavar="A,B,C|FILE", help="Names of classes, number 0 first, where labels are names.")
@remote
def push(server: Remote, as_json: bool, file: Path, model: str, classes: str | None) -> None:
    """Push a CSV FILE with a first line of names: all of it is taken, or nothing. The same file again changes nothing.

    \b
    sample,label                          of samples, as `labels list --csv` writes it; rows without a label are left out
    device,at,predicted,label[,sha256]    of answers; `at` as seconds since 1970 or 2026-11-26T08:00:00Z

    Example: edgewright labels push labels.csv --model digits --classes cat,dog
    """
    names, rows = _read(file)
    numbers = _numbers(classes)
    if set(names) >= _SAMPLES:
        told = [_checked(number, row, numbers, _sample) for number, row in enumerate(rows, 1) if row["label"]]
        if not told:
            raise UsageError(f"{file} has no label in any row; write what is true into the column label.")
        body: dict[str, Any] = {"samples": told}
    elif _ANSWERS <= set(names) <= {*_ANSWERS, "sha256"}:
        body = {"answers": [_checked(number, row, numbers, _answer) for number, row in enumerate(rows, 1)]}
    else:
        raise UsageError(f"{file} has the columns {', '.join(names)[:200]}; give sample,label or device,at,predicted,label.")
    found = server.call("POST", "labels", body={"model": model, **body})
    if as_json:
        click.echo(dumps(found))
    elif found["is_new"]:
        click.echo(f"{found['rows']:,} labels of {model}, {found['changed']:,} of them news ({found['digest'][:12]})")
    else:
        click.echo(f"these {found['rows']:,} labels of {model} were pushed before ({found['digest'][:12]}); nothing changed")


@labels.command("list")
@_model
@click.option("--unlabelled", "state", flag_value="unlabelled", help="Those alone that have no label.")
@click.option("--labelled", "state", flag_value="labelled", help="Those alone that have one.")
@click.option("--device", help="Of one device.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="Samples at most.")
@click.option("--csv", "file", type=click.Path(path_type=Path), help="Write them into a CSV, to fill in and push.")
@remote
def list_samples(
    server: Remote, as_json: bool, model: str, state: str | None, device: str | None, limit: int, file: Path | None
) -> None:
    """List samples that devices sent, in the order of their ids, which is as good as random.

    Example: edgewright labels list --model digits --unlabelled --csv labels.csv
    """
    query = {"model": model, "state": state or "all", "device": device, "limit": min(limit, 1000)}
    found: list[dict[str, Any]] = []
    for item in server.pages("samples", "samples", query=query):
        if len(found) == limit:
            break
        found.append(item)
    if file is not None:
        write_atomic(file, _written(found))
    if as_json:
        click.echo(dumps({"samples": found}))
        return
    rows = [
        (
            item["id"][:_SHORT],
            item["device"][:_SHORT],
            since(item["received_at"]),
            f"{item['confidence']:.3f}",
            "" if item["predicted"] is None else str(item["predicted"]),
            item["label"] or "",
            ", ".join(item["reasons"]),
        )
        for item in found
    ]
    names = ("sample", "device", "came", "confidence", "predicted", "label", "why")
    click.echo(table(names, rows) if rows else "none")


def _written(found: list[dict[str, Any]]) -> bytes:
    """A CSV of samples with their labels, as `push` reads it."""
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    writer.writerow(("sample", "label", "device", "at", "predicted", "confidence"))
    for item in found:
        writer.writerow(
            (item["id"], item["label"] or "", item["device"], _date(item["at"]), item["predicted"], f"{item['confidence']:.4f}")
        )
    return made.getvalue().encode()


def _date(at: float) -> str:
    """A date and time; the seconds themselves where a device's clock told a time that no calendar has."""
    try:
        return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return repr(at)


def _read(file: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Names of the columns, and the rows."""
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{file} is larger than {_MAX_BYTES >> 20} MB; push it in parts.")
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {file}: {getattr(error, 'strerror', None) or 'it is no text'}; give a CSV.") from None
    try:
        read = csv.DictReader(io.StringIO(text), strict=True)
        names = [name.strip() for name in read.fieldnames or ()]
        read.fieldnames = names
        rows = list(read)
    except csv.Error as error:
        raise UsageError(f"{file} is no CSV ({error}); give a first line of names, and commas between values.") from None
    if len(set(names)) < len(names):
        raise UsageError(f"{file} has a column twice; name each column once.")
    if not rows or len(rows) > _MAX_ROWS:
        raise UsageError(f"{file} has {len(rows):,} rows; give 1 to {_MAX_ROWS:,} at once.")
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise UsageError(f"row {number} of {file} has not as many values as there are columns.")
    return names, [{name: value.strip() for name, value in row.items()} for row in rows]


def _numbers(classes: str | None) -> Mapping[str, int]:
    if classes is None:
        return {}
    from ..calibration.classes import read_classes

    return {name: number for number, name in enumerate(read_classes(classes))}


def _checked(number: int, row: dict[str, str], classes: Mapping[str, int], read: Callable[[dict[str, str], Any], T]) -> T:
    try:
        return read(row, lambda text: classes.get(text, text))
    except UsageError as error:
        raise UsageError(f"row {number}: {error}") from None


def _sample(row: dict[str, str], named: Callable[[str], Any]) -> dict[str, Any]:
    label = str(named(row["label"]))
    if not _SHA256.fullmatch(row["sample"]):
        raise UsageError(f"{row['sample'][:40]!r} is no sample; give the id that `edgewright labels list` shows.")
    if not re.fullmatch(r"[0-9.eE+-]{1,40}", label):
        raise UsageError(f"the label {label[:40]!r} is neither a number nor one of --classes.")
    return {"sample": row["sample"], "label": label}


def _answer(row: dict[str, str], named: Callable[[str], Any]) -> dict[str, Any]:
    classes = {name: str(named(row[name])) for name in ("predicted", "label")}
    for text in classes.values():
        if not _CLASS.fullmatch(text):
            raise UsageError(f"{text[:40]!r} is neither a class number nor one of --classes.")
    told: dict[str, Any] = {name: int(text) for name, text in classes.items()}
    if row.get("sha256"):
        told["sha256"] = row["sha256"]
    return {"device": row["device"], "at": moment(row["at"], "the time"), **told}
