"""Names of classes and the numbers that a model gives them: in the order that the user names, else alphabetical and said so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, UsageError
from .dataset import Dataset, is_partial

_SHOWN = 12
_LONGEST_FILE = 4 << 20


def read_classes(given: str | Path | Sequence[str]) -> tuple[str, ...]:
    """Names of classes, number 0 first: of a file with one name a line, of a text "cat,dog", or as they are.

    Raises UsageError where they cannot be read, where one stands twice, and where one is empty.
    """
    if isinstance(given, (str, Path)):
        names, where = _read(given)
    else:
        names, where = tuple(str(name).strip() for name in given), "classes"
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise UsageError(f"{where} names the class {twice!r} twice; name each class once, in the order of the model's outputs.")
    if "" in names or not names:
        raise UsageError(f"{where} has a class without a name; name every class, in the order of the model's outputs.")
    return names


def renumbered(found: Sequence[str], wanted: Sequence[str], where: str) -> NDArray[np.int64]:
    """The number in `wanted` of each class in `found`, [len(found)]; raises DataError where one is missing."""
    if not found:
        raise DataError(f"{where} has no names as labels, so there is nothing for classes to order; drop classes.")
    missing = [name for name in found if name not in wanted]
    if missing:
        raise DataError(
            f"{where} has the class {missing[0]!r}, which classes does not name; name every class, in the order of the "
            "model's outputs."
        )
    places = {name: place for place, name in enumerate(wanted)}
    return np.array([places[name] for name in found], np.int64)


def classes_note(data: Dataset, is_ordered: bool) -> tuple[str, ...]:
    """One sentence on which number each class got, where labels are names; `is_ordered`: the user named the order."""
    classes = data.classes if is_partial(data) else ()
    if not classes:
        return ()
    shown = ", ".join(f"{name}={number}" for number, name in enumerate(classes[:_SHOWN]))
    more = f", and {len(classes) - _SHOWN} more" if len(classes) > _SHOWN else ""
    how = "as given" if is_ordered else "in alphabetical order; if the model's differs, name it with --classes"
    return (f"classes: {shown}{more} ({how})",)


def unlabelled_note(data: Dataset) -> tuple[str, ...]:
    """One sentence where there are no labels, and arrays that may be meant as labels."""
    columns = [name for name in data.columns if name not in ("file", "group")]
    if data.has_labels or not columns:
        return ()
    arrays = data.arrays if is_partial(data) else ()
    names = sorted({*columns, *(name for name in arrays if not name.endswith("="))})
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (f"no labels found among {', '.join(names[:_SHOWN])}{more}; name them with --labels NAME",)


def check_same_classes(main: Dataset, other: Dataset, name: str) -> None:
    """Refuse two data sets that number their classes differently; raises DataError."""
    if not (is_partial(main) and is_partial(other)) or not (main.classes and other.classes):
        return
    if main.classes != other.classes:
        only = sorted(set(main.classes) ^ set(other.classes))
        raise DataError(
            f"the data for {name} have other classes than the rest ({', '.join(only[:3])}), so one number would stand for "
            "two names; name all classes in the model's order with --classes."
        )


def _read(given: str | Path) -> tuple[tuple[str, ...], str]:
    path = Path(given)
    try:
        if path.is_file():
            if path.stat().st_size > _LONGEST_FILE:
                raise UsageError(f"{path} is too long for a list of classes; give a file with one name a line.")
            lines = path.read_text("utf-8").splitlines()
            return tuple(line.strip() for line in lines if line.strip()), str(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read the classes in {str(path)[:80]!r}: {reason}; give UTF-8, one name a line.") from error
    if isinstance(given, Path) or "," not in given:
        raise UsageError(
            f"there is no file {str(given)[:80]!r} with classes; give a file with one name a line, or names joined by commas."
        )
    return tuple(part.strip() for part in given.split(",")), "classes"
