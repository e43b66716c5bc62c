from __future__ import annotations

import onnx
import pytest
from edgewright.ir.model import Model
from edgewright.ir.rewrites.canonicalize import Canonicalize
from edgewright.ir.statistics import macs, peak_activation_bytes, statistics


def parse(body):
    text = f'<ir_version: 8, opset_import: ["" : 21]> g {body}'
    return Canonicalize().run(Model.from_bytes(onnx.parser.parse_model(text).SerializeToString())).model


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("(float[N,3,8,8] x, float[4,3,3,3] w) => (float[N,4,6,6] y) { y = Conv(x, w) }", 4 * 6 * 6 * 27),
        ("(float[1,4,8,8] x, float[4,1,3,3] w) => (float[1,4,6,6] y) { y = Conv<group=4>(x, w) }", 4 * 6 * 6 * 9),
        ("(float[1,3,4,4] x, float[3,5,2,2] w) => (float[1,5,5,5] y) { y = ConvTranspose(x, w) }", 3 * 4 * 4 * 5 * 4),
        ("(float[N,6] x, float[5,6] w) => (float[N,5] y) { y = Gemm<transB=1>(x, w) }", 30),
        ("(float[2,3,6] x, float[6,5] w) => (float[2,3,5] y) { y = MatMul(x, w) }", 2 * 3 * 6 * 5),
        ("(float[N,7,6] x, float[6,5] w) => (float[7,N,5] y) { t = Transpose<perm=[1,0,2]>(x) y = MatMul(t, w) }", 7 * 6 * 5),
        ("(float[N,7,T] x, float[5,7] w) => (float[N,5,T] y) { y = MatMul(w, x) }", None),
        ('(float[2,3] x, float[3,5] w) => (float[2,5] y) { y = Einsum<equation="ij,jk->ik">(x, w) }', 30),
        ('(float[2,3] x) => (float[3,2] y) { y = Einsum<equation="ij->ji">(x) }', 0),
        ('(float[2,3] x, float[3,5] w) => (float[2,5] y) { y = Einsum<equation="...j,jk->...k">(x, w) }', None),
        ("(float[1,3,H,8] x, float[4,3,3,3] w) => (float[1,4,K,6] y) { y = Conv(x, w) }", None),
        (
            "(float[7,N,3] x, float[1,20,3] w, float[1,20,5] r) => (float[7,1,N,5] y) { y = LSTM<hidden_size=5>(x, w, r) }",
            7 * 20 * (3 + 5),
        ),
        ("(float[T,1,3] x, float[1,6,3] w, float[1,6,2] r) => (float[T,1,1,2] y) { y = GRU<hidden_size=2>(x, w, r) }", None),
        ("(float[2,3] x) => (float[2,3] y) { y = Relu(x) }", 0),
    ],
)
def test_macs(body, expected):
    assert macs(parse(body)) == expected


def test_peak_is_that_of_the_widest_moment():
    # x (12) lives until a; a (12) and b (12) until c; the widest moment is c = Concat(a, b): 12 + 12 + 24.
    body = (
        "(float[1,3] x) => (float[1,3] y) { a = Relu(x) b = Neg(a) c = Concat<axis=1>(a, b) d = Sigmoid(c) "
        "s, t = Split<axis=1, num_outputs=2>(d) y = Add(s, t) }"
    )
    assert peak_activation_bytes(parse(body)) == 12 + 12 + 24


def test_an_output_lives_to_the_end():
    body = "(float[1,3] x) => (float[1,3] a, float[1,3] c) { a = Relu(x) b = Neg(x) c = Sigmoid(b) }"
    # while c is made: a (an output), b and c
    assert peak_activation_bytes(parse(body)) == 3 * 12


def test_an_input_that_nobody_reads_is_there_at_the_start():
    body = "(float[1,3] x, float[1,9] unused) => (float[1,3] y) { y = Relu(x) }"
    assert peak_activation_bytes(parse(body)) == 12 + 36 + 12


def test_unknown_sizes_have_no_peak():
    assert peak_activation_bytes(parse("(float[N,H] x) => (float[N,H] y) { y = Relu(x) }")) is None
    assert peak_activation_bytes(parse("(float[N,3] x) => (float[N,H] y) { y = Relu(x) }")) == 24


def test_parameters_leave_out_shapes():
    body = (
        "(float[1,2,3] x) => (float[1,6] y) "
        "<int64[2] s = {1, 6}, float[6] w = {1, 2, 3, 4, 5, 6}, float[6] v = {1, 1, 1, 1, 1, 7}>"
        "{ r = Reshape(x, s) a = Mul(r, w) y = Sub(a, v) }"
    )
    found = statistics(parse(body))
    assert found.parameters == 12
    assert found.weight_bytes == 12 * 4 + 2 * 8
    assert found.operators == {"Reshape": 1, "Mul": 1, "Sub": 1}
    assert found.to_json()["macs"] == 0
