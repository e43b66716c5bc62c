"""Writing report.json and report.html into the output folder, and reading report.json back."""

from __future__ import annotations

import json
from pathlib import Path

from ...core.errors import DataError
from ...core.files import write_atomic
from .html import render
from .types import CompileReport

JSON_NAME = "report.json"
HTML_NAME = "report.html"


def json_text(report: CompileReport) -> str:
    """report.json's text: indented for people, keys in the records' order, every number finite."""
    return json.dumps(report.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_report(report: CompileReport, out: Path) -> tuple[Path, Path]:
    """Write both files, each whole; returns (report.json, report.html). Raises StoreError."""
    json_path, html_path = out / JSON_NAME, out / HTML_NAME
    page = render(report)
    write_atomic(html_path, page.encode("utf-8", "replace"))
    write_atomic(json_path, json_text(report).encode("utf-8", "replace"))
    return json_path, html_path


def read_report(path: Path) -> CompileReport:
    """The report in a report.json; raises DataError when it is none."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot read the report {path}: {error}; give a report.json that a compile wrote.") from error
    return CompileReport.from_json(value)
