"""`edgewright check`: whether declarations can be compiled, told without compiling. Made for pre-commit and CI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..core.canonical import dumps
from ..core.errors import EdgewrightError, UsageError
from ..optimizer.declared import Declaration, check_declaration


@click.command()
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--files", "with_files", is_flag=True, help="Refuse also what names a model or data that are not there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(files: tuple[Path, ...], with_files: bool, as_json: bool) -> int:
    """Check declarations (edgewright.toml) without compiling: keys, profiles, runtimes, gates, recipes, pipelines.

    Every file is looked at, and each that is wrong is told with one sentence. Files that a declaration names need not be
    there, since a model may be trained first; --files asks for them too.

    Exit code 0: all can be compiled; 1: one cannot.

    Example: edgewright check edgewright.toml
    """
    found = [_object(file, with_files) for file in files]
    is_good = all(item["ok"] for item in found)
    if as_json:
        click.echo(dumps({"ok": is_good, "declarations": found}))
    else:
        for item in found:
            click.echo(_line(item), err=not item["ok"])
    return 0 if is_good else 1


def _object(file: Path, with_files: bool) -> dict[str, Any]:
    try:
        declared = check_declaration(file)
        if with_files:
            _check_files(declared)
    except EdgewrightError as error:
        told = str(error)
        return {"file": str(file), "ok": False, "code": error.code, "error": told if str(file) in told else f"{file}: {told}"}
    recipe = declared.recipe
    return {
        "file": str(file),
        "ok": True,
        "profiles": [profile.name for profile in declared.profiles],
        "gates": list(recipe.gates),
        "missing": {key: str(place) for key, place in declared.missing.items()},
    }


def _check_files(declared: Declaration) -> None:
    for key, place in declared.missing.items():
        raise UsageError(f"there is no file or folder {place}, which {key} names; make or fetch it first.")


def _line(item: dict[str, Any]) -> str:
    if not item["ok"]:
        return f"error[{item['code']}]: {' '.join(item['error'].split())}"
    missing = ", ".join(item["missing"].values())
    told = f"good, for {', '.join(item['profiles'])}"
    return f"{item['file']}: {told}{f' (not there yet: {missing})' if missing else ''}"
