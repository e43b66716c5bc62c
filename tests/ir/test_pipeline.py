"""Pipelines: the text form round-trips, passes are checked, errors name what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import onnx
import pytest
from edgewright.core.errors import PassError
from edgewright.ir.model import Model
from edgewright.ir.passes import PassResult
from edgewright.ir.pipeline import Pipeline, pass_text
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper


@dataclass(frozen=True)
class Needs:
    value: int


@dataclass(frozen=True)
class Try:
    """A pass with every kind of option."""

    name: ClassVar[str] = "try-it"
    needs: ClassVar[type[Any] | None] = None

    amount: float = 0.5
    count: int = 1
    mode: Literal["fast", "exact"] = "fast"
    on: bool = False
    layers: tuple[str, ...] = ()
    limit: int | None = None

    def run(self, model: Model, given: None) -> PassResult:
        return PassResult(model, False, ("seen",))


@dataclass(frozen=True)
class Break:
    """Makes a model that does not verify."""

    name: ClassVar[str] = "break"
    needs: ClassVar[type[Any] | None] = Needs

    how: Literal["undefined", "crash"] = "undefined"

    def run(self, model: Model, given: Needs) -> PassResult:
        if self.how == "crash":
            raise KeyError("x")
        result = model.clone()
        node = result.graph[0]
        node.replace_input_with(0, node.outputs[0])
        return PassResult(result, True)


REGISTRY: dict[str, type[Any]] = {"try-it": Try, "break": Break}


def relu() -> Model:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in "xy")
    weight = numpy_helper.from_array(np.eye(2, dtype=np.float32), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    proto = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], [weight]), opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    )
    onnx.checker.check_model(proto)
    return Model.from_bytes(proto.SerializeToString())


@given(
    amount=st.floats(0, 1),
    count=st.integers(-9, 9),
    mode=st.sampled_from(["fast", "exact"]),
    on=st.booleans(),
    layers=st.lists(st.text(min_size=1), max_size=3).map(tuple),
    limit=st.none() | st.integers(0, 9),
)
def test_text_round_trips(**options: Any) -> None:
    first = Pipeline([Try(**options), Try()])
    text = str(first)
    again = Pipeline.parse(text, REGISTRY)
    assert again.passes == first.passes
    assert str(again) == text


def test_defaults_are_left_out() -> None:
    assert pass_text(Try()) == "try-it"
    assert pass_text(Try(on=True, layers=("a,b", "c"))) == "try-it{on=true,layers=a%2Cb+c}"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tri-it", "unknown pass 'tri-it'; did you mean 'try-it'?"),
        ("try-it{amont=1}", "did you mean 'amount'?"),
        ("try-it{amount}", "has no value"),
        ("try-it{amount=x}", "is not a float"),
        ("try-it{on=yes}", "neither true nor false"),
        ("try-it{mode=fats}", "did you mean 'fast'?"),
        ("try-it{", "cannot read the pipeline"),
        ("try-it try-it", "cannot read the pipeline"),
    ],
)
def test_errors_name_what_is_wrong(text: str, sentence: str) -> None:
    with pytest.raises(PassError) as caught:
        Pipeline.parse(text, REGISTRY)
    assert sentence in str(caught.value)


def test_a_missing_need_is_named() -> None:
    with pytest.raises(PassError, match="needs Needs"):
        Pipeline([Break()]).run(relu())


@pytest.mark.parametrize(("how", "sentence"), [("undefined", "does not verify"), ("crash", "failed on this model: KeyError")])
def test_a_pass_that_breaks_the_model_is_named(how: Any, sentence: str) -> None:
    with pytest.raises(PassError, match=sentence) as caught:
        Pipeline([Break(how)]).run(relu(), {Needs: Needs(1)})
    assert "break" in str(caught.value)


def test_the_callback_sees_each_step() -> None:
    seen: list[str] = []
    _, steps = Pipeline([Try(), Try(count=2)]).run(relu(), after=lambda item, model, step: seen.append(step.text))
    assert seen == ["try-it", "try-it{count=2}"] == [step.text for step in steps]
    assert steps[0].notes == ("seen",)
    assert steps[0].seconds >= 0


def test_models_have_stable_bytes_and_text() -> None:
    model = relu()
    assert model.to_bytes() == model.clone().to_bytes() == relu().to_bytes()
    assert model.digest() == relu().digest()
    assert str(model) == ("inputs: x:float[nx2]\nh:?[?] = MatMul{}(x, @w:float[2x2])\ny:float[nx2] = Relu{}(h)\noutputs: y")
    assert model.inputs[0].shape == (None, 2)
