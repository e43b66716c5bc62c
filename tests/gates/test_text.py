import pytest
from edgewright.core.errors import GateError
from edgewright.optimizer.gates.text import Gate, check_columns, parse_gate, parse_gates
from hypothesis import given
from hypothesis import strategies as st

EXAMPLES = [
    "top1 >= -1pt",
    "top5 >= -1pt",
    "auc >= -0.01",
    "top1 >= 99% of reference",
    "rmse <= 102% of reference",
    "agreement >= 98%",
    "cosine >= 0.99",
    "f1[sex] >= -2pt",
    "top1[race] report-only",
    "mae <= +0.05",
    "auc by patient >= -0.01",
    "f1-weighted[age group] by speaker >= -2.5pt",
    "metrics/wer.py:wer <= +0.02",
    "package.module:score[site] >= -0.02",
]


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_print_back(text):
    assert str(parse_gate(text)) == text


@pytest.mark.parametrize(
    ("loose", "strict"),
    [
        ("top1>=-1pt", "top1 >= -1pt"),
        ("  top1  >=  - 1 pt ", "top1 >= -1pt"),
        ("top1 >= -1pts", "top1 >= -1pt"),
        ("top1 >= 0pt", "top1 >= +0pt"),
        ("top1 >= -0pt", "top1 >= +0pt"),
        ("auc >= -.01", "auc >= -0.01"),
        ("auc >= -1e-2", "auc >= -0.01"),
        ("f1 [ sex ] >= -2pt", "f1[sex] >= -2pt"),
        ("rmse <= 102 %  of  reference", "rmse <= 102% of reference"),
    ],
)
def test_loose_writing_is_read(loose, strict):
    assert str(parse_gate(loose)) == strict
    assert parse_gate(loose) == parse_gate(strict)


def test_numbers_become_fractions():
    assert parse_gate("top1 >= -1pt").threshold == -0.01
    assert parse_gate("top1 >= -1pt").margin == 0.01
    assert parse_gate("auc >= -0.01").margin == 0.01
    assert parse_gate("rmse <= 102% of reference").margin == pytest.approx(0.02)
    assert parse_gate("top1 >= 99% of reference").margin == pytest.approx(0.01)
    assert parse_gate("agreement >= 98%").margin is None
    assert parse_gate("mae <= +0.05").margin == 0.05
    assert parse_gate("top1[race] report-only").margin is None


NAMES = st.text("abcdefghijklmnopqrstuvwxyz_0123456789", min_size=1, max_size=8)


@st.composite
def gates(draw):
    column, group = draw(st.none() | NAMES), draw(st.none() | NAMES)
    user = draw(st.booleans())
    metric = (
        draw(NAMES) + ":" + draw(NAMES) if user else draw(st.sampled_from(["top1", "top3", "f1", "auc", "recall-weighted"]))
    )
    op = draw(st.sampled_from([">=", "<="])) if user else ">="
    kind = draw(st.sampled_from(["change", "share", "level", "report"]))
    if kind == "report":
        return Gate(metric, "report", slice=column, group=group)
    signed = st.floats(-200, 200, allow_nan=False).map(lambda value: value + 0.0)
    amount = draw(signed if kind == "change" else st.floats(1e-6, 500))
    unit = draw(st.sampled_from({"change": ["pt", ""], "share": ["% of reference"], "level": ["%", ""]}[kind]))
    return Gate(metric, kind, op, amount, unit, column, group)


@given(gates())
def test_every_gate_reads_back(gate):
    assert parse_gate(str(gate)) == gate


@given(st.text(max_size=30))
def test_any_text_is_a_gate_or_a_gate_error(text):
    try:
        gate = parse_gate(text)
    except GateError:
        return
    assert parse_gate(str(gate)) == gate


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("topp1 >= -1pt", "did you mean 'top1'"),
        ("acuracy >= -1pt", "did you mean 'accuracy'"),
        ("rsme <= 102% of reference", "did you mean 'rmse'"),
        ("top1 > -1pt", "cannot be read"),
        ("top1 >= ", "cannot be read"),
        ("", "cannot be read"),
        ("top1 >= nan", "cannot be read"),
        ("top1 >= -1pt or less", "cannot be read"),
        ("top1[] >= -1pt", "without a name"),
        ("top0 >= -1pt", "unknown metric"),
        ("mae >= -0.1", "better when lower"),
        ("top1 <= -1pt", "better when higher"),
        ("agreement >= -1pt", "write a level"),
        ("cosine >= 99% of reference", "write a level"),
        ("auc >= 0", "lets everything through"),
        ("top1 >= 0%", "lets everything through"),
        ("top1 >= 0% of reference", "lets everything through"),
        ("rmse <= +1pt", "not a share"),
        ("top1 >= -1%", "a sign"),
        ("top1 >= -99% of reference", "a sign"),
        ("mae <= 1e999", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said(text, part):
    with pytest.raises(GateError, match=part):
        parse_gate(text)


def test_several_gates():
    assert [str(gate) for gate in parse_gates(["top1 >= -1pt", "auc >= -0.01"])] == ["top1 >= -1pt", "auc >= -0.01"]


def test_unknown_columns_offer_the_nearest():
    check_columns(parse_gate("f1[sex] by patient >= -2pt"), ["sex", "patient"])
    with pytest.raises(GateError, match="did you mean 'sex'"):
        check_columns(parse_gate("f1[sexx] >= -2pt"), ["sex", "patient"])
    with pytest.raises(GateError, match="did you mean 'patient'"):
        check_columns(parse_gate("f1 by patients >= -2pt"), ["sex", "patient"])
    with pytest.raises(GateError, match="have no columns"):
        check_columns(parse_gate("f1[sex] >= -2pt"), [])
