"""Every datatype of the protocol, there and back, as JSON and as bytes."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from edgewright.fleet.serve import tensors
from edgewright.fleet.serve.refusal import Refusal
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

DTYPES = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)


@given(ARRAYS)
def test_bytes_there_and_back(array: np.ndarray[Any, Any]) -> None:
    datatype = tensors.datatype_of(array.dtype.name)
    back = tensors.from_bytes(memoryview(tensors.to_bytes(array)), datatype, array.shape, "t")
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@given(ARRAYS, st.booleans())
@example(np.array([1 << 63, 0], np.uint64), False)
def test_json_there_and_back(array: np.ndarray[Any, Any], is_nested: bool) -> None:
    datatype = tensors.datatype_of(array.dtype.name)
    if datatype == "FP16" or not np.isfinite(array.astype(float)).all():
        with pytest.raises(Refusal, match="ask for binary"):
            tensors.to_json(array, "t")
        return
    data = array.tolist() if is_nested and array.ndim else tensors.to_json(array, "t")
    back = tensors.from_json(data, datatype, array.shape, "t")
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=6))
def test_texts_there_and_back(texts: list[str]) -> None:
    array = tensors.from_json(texts, "BYTES", (len(texts),), "t")
    back = tensors.from_bytes(memoryview(tensors.to_bytes(array)), "BYTES", array.shape, "t")
    assert tensors.to_json(back, "t") == texts


@given(hnp.arrays("float32", 8, elements=st.floats(width=32)))
def test_bf16_rounds_as_the_reference_does(array: np.ndarray[Any, Any]) -> None:
    expected = array.astype(ml_dtypes.bfloat16).astype(np.float32)
    back = tensors.from_bytes(memoryview(tensors.to_bytes(array, "BF16")), "BF16", array.shape, "t")
    np.testing.assert_array_equal(back, expected)


def test_bytes_at_an_odd_address_are_copied_to_an_even_one() -> None:
    data = bytearray(1 + 8)
    array = tensors.from_bytes(memoryview(data)[1:], "FP32", (2,), "t")
    assert array.flags.aligned


@pytest.mark.parametrize(
    ("data", "datatype", "shape"),
    [
        ([1, 2], "FP32", (3,)),
        ([[1, 2], [3]], "FP32", (3,)),
        ([[1, 2], [3, 4]], "FP32", (4, 1)),
        ([1, "2"], "FP32", (2,)),
        ([True, False], "FP32", (2,)),
        ([1.5], "INT8", (1,)),
        ([128], "INT8", (1,)),
        ([-1], "UINT64", (1,)),
        ([2**64], "UINT64", (1,)),
        ([1e39], "FP32", (1,)),
        ([float("inf")], "FP64", (1,)),
        ([1], "BOOL", (1,)),
        ([1.0], "FP16", (1,)),
        ([1.0], "BF16", (1,)),
        ([None], "FP32", (1,)),
        ([{}], "FP32", (1,)),
        ("12", "FP32", (2,)),
        (["a"], "BYTES", (2,)),
        ([1], "BYTES", (1,)),
    ],
)
def test_what_is_no_such_tensor_is_refused(data: Any, datatype: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(Refusal) as caught:
        tensors.from_json(data, datatype, shape, "input 'x'")
    assert caught.value.status == 400
    assert "input 'x'" in str(caught.value)


@pytest.mark.parametrize("shape", [[-1], [1.0], [True], "3", None, [1] * 17, [2**40], [0, 2**62], [2**20, 2**20]])
def test_a_shape_is_bounded(shape: Any) -> None:
    with pytest.raises(Refusal, match="shape"):
        tensors.check_shape(shape, "input 'x'")
