from __future__ import annotations

import onnx
import pytest
from edgewright.core.protobuf import fields, varint
from hypothesis import given
from hypothesis import strategies as st


def test_the_fields_of_a_real_message_lie_where_the_library_reads_them():
    model = onnx.helper.make_model(
        onnx.helper.make_graph([], "g", [], []), producer_name="x" * 300, opset_imports=[onnx.helper.make_opsetid("", 17)]
    )
    data = model.SerializeToString()
    found = {number: data[begin:end] for number, begin, end in fields(data, 0, len(data))}
    assert found[2] == b"x" * 300  # producer_name
    assert found[7] == model.graph.SerializeToString()
    assert varint(found[1], 0) == (model.ir_version, len(found[1]))


@given(st.binary(max_size=60))
def test_noise_ends_in_fields_inside_it_or_in_an_error(data):
    try:
        for _, begin, end in fields(data, 0, len(data)):
            assert 0 < begin <= end <= len(data)
    except (ValueError, IndexError):
        pass


@pytest.mark.parametrize("data", [b"\xff" * 11, b"\x80", b"\x0a\x05abc", b"\x0b", b"\x0d\x00"])
def test_what_is_broken_is_an_error(data):
    with pytest.raises((ValueError, IndexError)):
        list(fields(data, 0, len(data)))
