"""Labels that are names become the model's numbers: alphabetically and told, or in the order that the user names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from edgewright.calibration.classes import check_same_classes, classes_note, read_classes, unlabelled_note
from edgewright.calibration.dataset import is_partial, read_labels
from edgewright.calibration.opening import open_dataset
from edgewright.core.errors import DataError, UsageError

X = np.zeros((4, 2), np.float32)
ORDER = ("dog", "cat", "ant", "bee")


def _named(*names: str, **options):
    return open_dataset({"x": X[: len(names)], "y": np.array(names)}, **options)


def test_names_are_numbered_alphabetically_and_the_note_says_so() -> None:
    data = _named("dog", "cat", "ant", "dog")
    assert read_labels(data, range(4)).tolist() == [2, 1, 0, 2]
    (note,) = classes_note(data, is_ordered=False)
    assert note.startswith("classes: ant=0, cat=1, dog=2 (in alphabetical order")
    assert "--classes" in note
    assert classes_note(open_dataset({"x": X, "y": np.arange(4)}), is_ordered=False) == ()


def test_the_note_is_bounded() -> None:
    names = [f"c{number:03}" for number in range(300)]
    data = open_dataset({"x": np.zeros((300, 2), np.float32), "y": np.array(names)})
    (note,) = classes_note(data, is_ordered=False)
    assert "c011=11, and 288 more" in note
    assert len(note) < 300


@pytest.mark.parametrize("kind", ["arrays", "folder", "csv"])
def test_the_order_that_is_named_is_the_models(kind: str, image_folder: Path, tmp_path: Path) -> None:
    if kind == "folder":
        data = open_dataset(image_folder, classes=ORDER)
    elif kind == "csv":
        (tmp_path / "t.csv").write_text("a,b,y\n" + "\n".join(f"{n},1.5,{name}" for n, name in enumerate(ORDER[:3])), "utf-8")
        data = open_dataset(tmp_path / "t.csv", classes=ORDER)
    else:
        data = _named("ant", "dog", "cat", classes=ORDER)
    assert is_partial(data)
    assert data.classes == ORDER
    found = read_labels(data, range(len(data)))
    assert set(found.tolist()) == {0, 1, 2}
    assert data.read([0]).labels.tolist() == found[:1].tolist()
    assert data.with_inputs({"image": "x"} if kind != "csv" else {"image": "a"}).labels_at([0]).tolist() == found[:1].tolist()
    if kind == "folder":
        assert found.tolist() == [2] * 3 + [1] * 3 + [0] * 3
    (note,) = classes_note(data, is_ordered=True)
    assert note == "classes: dog=0, cat=1, ant=2, bee=3 (as given)"


def test_another_order_is_another_digest() -> None:
    one, other = (_named("dog", "cat", "ant", classes=order) for order in (ORDER, ORDER[::-1]))
    assert one.digest != other.digest


def test_classes_that_do_not_fit_the_data_are_refused() -> None:
    with pytest.raises(DataError, match="has the class 'cow', which classes does not name; name every class"):
        _named("dog", "cow", classes=ORDER)
    with pytest.raises(DataError, match="has no names as labels"):
        open_dataset({"x": X, "y": np.arange(4)}, classes=ORDER)
    with pytest.raises(UsageError, match="labels, classes and preprocessing of its own"):
        open_dataset(_named("dog", "cat"), classes=ORDER)
    assert not open_dataset({"x": X}, classes=ORDER).has_labels


def test_a_list_of_classes_is_a_file_a_text_or_names(tmp_path: Path) -> None:
    file = tmp_path / "classes.txt"
    file.write_text("dog\n cat\n\nant\r\n", "utf-8")
    assert (
        read_classes(str(file)) == read_classes("dog, cat,ant") == read_classes(["dog", "cat", "ant"]) == ("dog", "cat", "ant")
    )
    file.write_bytes(b"\xff\xfe")
    for given, words in [
        ("none.txt", "no file 'none.txt' with classes"),
        (tmp_path / "none,txt", "with classes"),
        ("dog,cat,dog", "the class 'dog' twice"),
        ("dog,,cat", "a class without a name"),
        ((), "a class without a name"),
        (file, "cannot read the classes"),
        ("a,b" * 2000, "twice|cannot read"),
    ]:
        with pytest.raises(UsageError, match=words):
            read_classes(given)


def test_two_data_sets_that_number_differently_are_refused() -> None:
    with pytest.raises(DataError, match="the data for accept have other classes than the rest \\(cat\\)"):
        check_same_classes(_named("ant", "cat", "dog"), _named("ant", "dog"), "accept")
    check_same_classes(_named("ant", "cat", "dog", classes=ORDER), _named("ant", "dog", classes=ORDER), "accept")
    check_same_classes(_named("ant", "dog"), open_dataset({"x": X}), "calib")


def test_arrays_that_may_be_labels_are_named() -> None:
    data = open_dataset({"images": np.zeros((4, 2, 2), np.float32), "target": np.arange(4)})
    assert unlabelled_note(data) == ("no labels found among images, target; name them with --labels NAME",)
    assert unlabelled_note(open_dataset({"x": X})) == ()
    assert unlabelled_note(_named("dog", "cat")) == ()
