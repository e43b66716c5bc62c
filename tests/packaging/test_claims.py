"""Figures that docs claim have a command beside them, and the commands that docs name are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.run import QUICK

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "benchmarks" / "README.md", *(ROOT / "docs").rglob("*.md")])
LIST = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
COMMAND = re.compile(r"python (?:-m benchmarks\.(?P<module>[a-z0-9_.]+)|benchmarks/(?P<file>[a-z0-9_/]+\.py))")
# What others start: the list of all, and the script that another interpreter runs for drift_power.
STARTED_BY_OTHERS = {"run", "evidently_defaults"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_benchmark_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    named = {found["module"] or found["file"] for found in COMMAND.finditer(text)}
    for name in named:
        path = ROOT / "benchmarks" / (name if name.endswith(".py") else name.rstrip(".").replace(".", "/"))
        assert path.is_file() or path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), f"{name} is not there"


def test_every_benchmark_is_in_the_list() -> None:
    whole = [path for path in (ROOT / "benchmarks").glob("*.py") if '__name__ == "__main__"' in path.read_text("utf-8")]
    missing = [path.stem for path in whole if not re.search(rf"benchmarks[./]{path.stem}\b", LIST)]
    assert set(missing) <= STARTED_BY_OTHERS


def test_every_part_of_the_results_names_the_command_that_made_it() -> None:
    results = LIST.partition("\n## Results")[2]
    parts = re.split(r"^### ", results, flags=re.M)[1:]
    assert len(parts) > 10
    without = [part.partition("\n")[0] for part in parts if not COMMAND.search(part) and "calibration_streaming.py" not in part]
    assert without == []


def test_every_page_that_shows_a_table_of_measurements_names_a_command() -> None:
    """A page whose heading says that something was measured has the command within that part."""
    for page in PAGES:
        for part in re.split(r"^#+ ", page.read_text("utf-8"), flags=re.M):
            title = part.partition("\n")[0]
            if re.match(r"(Measured|Results)$", title) and "|---" in part:
                assert COMMAND.search(part) or "###" in part or page.parent.name == "benchmarks", f"{page.name}: {title}"


def test_the_targets_that_pages_name_are_in_the_makefile() -> None:
    known = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), flags=re.M))
    named = {name for page in PAGES for name in re.findall(r"`make ([a-z][a-z-]*)", page.read_text("utf-8"))}
    assert {"bench"} <= named <= known


def test_the_list_of_what_make_bench_runs_names_files_that_are_there() -> None:
    named = [COMMAND.search(command) for command in QUICK]
    assert all(named)
    for found in filter(None, named):
        assert (ROOT / "benchmarks" / (found["file"] or f"{found['module'].replace('.', '/')}.py")).is_file()
