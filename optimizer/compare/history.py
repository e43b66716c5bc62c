"""Comparisons over time, in a SQLite file: a row a finding, added in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import StoreError
from .finding import Comparison, Finding

_VERSION = 1
_SECONDS = 30.0
_SCHEMA = """
CREATE TABLE comparisons (
  id INTEGER PRIMARY KEY, at TEXT NOT NULL, label TEXT, status TEXT NOT NULL, base TEXT NOT NULL, head TEXT NOT NULL,
  cpu TEXT, version TEXT NOT NULL
);
CREATE TABLE findings (
  comparison INTEGER NOT NULL REFERENCES comparisons (id), subject TEXT NOT NULL, figure TEXT NOT NULL, slice TEXT,
  rule TEXT, status TEXT NOT NULL, unit TEXT NOT NULL, scale TEXT NOT NULL, base REAL, head REAL, measured REAL, low REAL,
  high REAL, threshold REAL, is_share INTEGER NOT NULL, base_sha256 TEXT, head_sha256 TEXT
);
CREATE INDEX findings_by_figure ON findings (subject, figure, comparison);
"""


@dataclass(frozen=True)
class Moment:
    """One finding of the past: when, under which label, HEAD's value with its interval (None: unknown), and the verdict."""

    at: str
    label: str | None
    head: float | None
    low: float | None
    high: float | None
    status: str
    unit: str
    is_share: bool


def add(path: Path, result: Comparison) -> int:
    """Append a comparison to the history at `path`, which is made where it is missing; how many it now holds.

    Raises StoreError for a file that is no history, of another version, or cannot be written.
    """
    with _opened(path) as database, database:
        cursor = database.execute(
            "INSERT INTO comparisons (at, label, status, base, head, cpu, version) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                result.at,
                result.label,
                result.status,
                result.base[0].file,
                result.head[0].file,
                result.conditions.get("cpu"),
                result.version,
            ),
        )
        digests = {side.name: side.sha256 for side in result.base}, {side.name: side.sha256 for side in result.head}
        database.executemany(
            "INSERT INTO findings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    cursor.lastrowid,
                    item.subject,
                    item.figure,
                    item.slice,
                    item.rule,
                    item.status,
                    item.unit,
                    item.scale,
                    item.base,
                    item.head,
                    item.measured,
                    item.low,
                    item.high,
                    item.threshold,
                    item.is_share,
                    *(_digest(side, item) for side in digests),
                )
                for item in result.findings
            ],
        )
        (count,) = database.execute("SELECT count(*) FROM comparisons").fetchone()
    return int(count)


def read(path: Path) -> dict[tuple[str, str], list[Moment]]:
    """All moments in order by (subject, figure with its slice); a figure that two rules judged counts once a comparison.

    Raises StoreError as `add` does.
    """
    query = """
      SELECT comparisons.id, at, label, subject, figure, slice, findings.status, unit, scale, findings.head, measured,
        low, high, is_share
      FROM findings JOIN comparisons ON comparisons.id = comparison ORDER BY comparisons.id, findings.rowid
    """
    found: dict[tuple[str, str], list[Moment]] = {}
    last: dict[tuple[str, str], int] = {}
    with _opened(path) as database:
        for (
            number,
            at,
            label,
            subject,
            figure,
            slice_,
            status,
            unit,
            scale,
            head,
            measured,
            low,
            high,
            is_share,
        ) in database.execute(query):
            key = (subject, figure + (f" [{slice_}]" if slice_ else ""))
            if last.get(key) == number:
                continue
            last[key] = number
            ends = (_level(scale, head, measured, low), _level(scale, head, measured, high))
            found.setdefault(key, []).append(Moment(at, label, head, *ends, status, unit, bool(is_share)))
    return found


def _level(scale: str, head: float | None, measured: float | None, end: float | None) -> float | None:
    """What an end of the interval of a change says of HEAD's own value, taken about the value as measured."""
    if end is None or scale == "level":
        return end
    if head is None or measured is None or measured <= -1:
        return None
    return head * (1 + end) / (1 + measured) if scale == "relative" else head + end - measured


def _digest(side: dict[str, str], item: Finding) -> str | None:
    return next(iter(side.values())) if len(side) == 1 else side.get(item.subject)


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(path, timeout=_SECONDS)) as database:
            database.execute("BEGIN IMMEDIATE")
            (version,) = database.execute("PRAGMA user_version").fetchone()
            (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if version == 0 and tables == 0:
                for statement in _SCHEMA.split(";"):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {_VERSION}")
            elif version != _VERSION:
                raise StoreError(f"{path} is no history of this version of `edgewright bench compare`; name another file.")
            database.commit()
            yield database
    except sqlite3.Error as error:
        raise StoreError(f"cannot keep a history in {path}: {error}; name a file that is one, or a new one.") from error
