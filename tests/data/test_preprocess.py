"""Preprocessing: its text, its JSON, and what it does."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from edgewright.calibration.opening import open_dataset
from edgewright.calibration.preprocess import Preprocessing
from edgewright.calibration.resize import resize_bilinear
from edgewright.core.errors import DataError, UsageError
from edgewright.core.executor import TensorSpec
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

_NUMBER = st.floats(-1e6, 1e6).map(lambda value: value + 0.0)
_SIDE = st.integers(1, 4000)
_SIZE = st.tuples(_SIDE, _SIDE)
_ANY = st.builds(
    Preprocessing,
    length=st.none() | st.integers(1, 10**6),
    color=st.sampled_from([None, "rgb", "bgr", "gray"]),
    resize=st.just(()) | _SIZE | st.tuples(_SIDE),
    crop=st.just(()) | _SIZE,
    scale=st.none() | _NUMBER,
    mean=st.lists(_NUMBER, max_size=4).map(tuple),
    std=st.lists(_NUMBER.filter(bool), max_size=4).map(tuple),
    layout=st.sampled_from([None, "nchw", "nhwc", "nhwc>nchw"]),
    dtype=st.sampled_from([None, "float32", "uint8"]),
    inputs=st.lists(st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True), max_size=3).map(tuple),
)


@given(_ANY)
def test_text_and_json_round_trip(steps: Preprocessing) -> None:
    assert Preprocessing.parse(str(steps)) == steps
    assert Preprocessing.from_json(json.loads(json.dumps(steps.to_json()))) == steps


def test_text() -> None:
    steps = Preprocessing.parse("resize=224, layout=nchw,mean=127,std=128,dtype=float32")
    assert steps == Preprocessing(resize=(224, 224), layout="nchw", mean=(127.0,), std=(128.0,), dtype="float32")
    assert str(steps) == "resize=224,mean=127,std=128,layout=nchw,dtype=float32"
    assert Preprocessing.parse("") == Preprocessing()
    assert Preprocessing.parse("scale=1/255").scale == 1 / 255


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("resise=3", "did you mean 'resize'"),
        ("resize", "resize=VALUE"),
        ("resize=a", "cannot be read"),
        ("resize=0", "between 1 and"),
        ("resize=99999999", "between 1 and"),
        ("resize=1x2x3", "cannot be read"),
        ("scale=nan", "finite"),
        ("scale=1/0", "cannot be read"),
        ("std=0", "not zero"),
        ("layout=hwc", "unknown preprocessing layout"),
        ("dtype=float23", "did you mean 'float32'"),
        ("color=red", "unknown preprocessing color"),
        ("mean=1,mean=2", "once"),
        ("length=0", "at least 1"),
    ],
)
def test_text_errors(text, match) -> None:
    with pytest.raises(UsageError, match=match) as caught:
        Preprocessing.parse(text)
    assert ". " not in str(caught.value)


def test_unknown_json_field() -> None:
    with pytest.raises(UsageError, match="rotate"):
        Preprocessing.from_json({"rotate": 90})


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_resize_is_pillows(height, width, to_height, to_width, seed) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    want = np.asarray(Image.fromarray(pixels).resize((to_width, to_height), Image.Resampling.BILINEAR), np.int32)
    # Pillow rounds to bytes between its two passes.
    assert np.abs(resize_bilinear(pixels[None], to_height, to_width)[0].astype(np.int32) - want).max() <= 1


def test_numbers_and_layout() -> None:
    x = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3)).astype(np.uint8)
    mean, std = np.array([1, 2, 3], np.float32), np.array([4, 5, 6], np.float32)
    steps = Preprocessing.parse("mean=1:2:3,std=4:5:6,layout=nchw")
    np.testing.assert_allclose(steps.apply(x), ((x - mean) / std).transpose(0, 3, 1, 2), rtol=1e-6)
    np.testing.assert_allclose(steps.apply(x.transpose(0, 3, 1, 2)), ((x - mean) / std).transpose(0, 3, 1, 2), rtol=1e-6)
    assert steps.apply(x).dtype == np.float32
    assert steps.output(TensorSpec("x", "uint8", (None, 4, 6, 3))) == TensorSpec("x", "float32", (None, 3, 4, 6))
    odd = np.zeros((1, 3, 7, 3))
    assert Preprocessing(layout="nhwc>nchw").apply(odd).shape == (1, 3, 3, 7)
    assert Preprocessing(layout="nchw>nhwc").apply(odd).shape == (1, 7, 3, 3)
    assert Preprocessing(layout="nchw").apply(np.zeros((1, 5, 5))).shape == (1, 1, 5, 5)


def test_spatial_steps() -> None:
    x = np.random.default_rng(0).integers(0, 256, (2, 40, 60, 3)).astype(np.uint8)
    assert Preprocessing.parse("resize=short20,crop=16").apply(x).shape == (2, 16, 16, 3)
    np.testing.assert_array_equal(Preprocessing.parse("crop=20x30").apply(x), x[:, 10:30, 15:45])
    np.testing.assert_array_equal(Preprocessing.parse("color=bgr").apply(x), x[..., ::-1])
    grey = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in x])
    np.testing.assert_array_equal(Preprocessing.parse("color=gray").apply(x)[..., 0], grey)
    assert Preprocessing.parse("resize=8").apply(x[..., 0]).shape == (2, 8, 8)
    first = x.transpose(0, 3, 1, 2)
    assert Preprocessing.parse("resize=8").apply(first).shape == (2, 3, 8, 8)


def test_signals_and_casts() -> None:
    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    assert Preprocessing(length=4).apply(x).tolist() == [[0, 1, 2, 3], [6, 7, 8, 9]]
    assert Preprocessing(length=8).apply(x)[0].tolist() == [0, 1, 2, 3, 4, 5, 0, 0]
    assert Preprocessing(dtype="uint8").apply(np.array([[-3.0, 1.5, 2.5, 999.0]])).tolist() == [[0, 2, 2, 255]]
    assert Preprocessing(dtype="int32").apply(np.array([[3e12]], np.float32)).tolist() == [[2**31 - 1]]
    assert Preprocessing(scale=2.0, inputs=("a",)).apply(x, "b") is x


@pytest.mark.parametrize(
    ("text", "shape", "match"),
    [
        ("mean=1:2", (1, 4, 4, 3), "one a channel"),
        ("layout=nchw", (1, 4), "no batch of images"),
        ("resize=4", (1, 4), "no batch of images"),
        ("crop=9", (1, 4, 4, 3), "larger than"),
        ("length=3", (1, 4, 4, 3), "for signals"),
        ("color=gray", (1, 4, 4, 1), "needs RGB"),
    ],
)
def test_steps_that_do_not_fit(text, shape, match) -> None:
    with pytest.raises(DataError, match=match):
        Preprocessing.parse(text).apply(np.zeros(shape, np.float32))


def test_cast_refuses_nan_and_unknown_input() -> None:
    with pytest.raises(DataError, match="NaN"):
        Preprocessing(dtype="uint8").apply(np.array([[np.nan]]))
    with pytest.raises(UsageError, match="did you mean"):
        open_dataset({"image": np.zeros((3, 2))}, preprocessing=Preprocessing(inputs=("imag",)))


def test_the_documentation_has_every_key_with_an_example_that_is_read() -> None:
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text("utf-8")
    rows = dict(re.findall(r"(?m)^\| `(\w+)` \| (`.+?`) \| [^|]+ \|$", page.split("## Preprocessing")[1].split("## ")[0]))
    assert list(rows) == [field.name for field in dataclasses.fields(Preprocessing)]
    for name, examples in rows.items():
        for example in re.findall(r"`(.+?)`", examples):
            assert example.startswith(f"{name}=")
            assert str(Preprocessing.parse(example)) == str(Preprocessing.parse(str(Preprocessing.parse(example))))
