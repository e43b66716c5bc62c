"""Pipelines become variants: what stands where, under which name, and every way to write it wrong."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from edgewright.core.errors import PassError, UsageError
from edgewright.device_profiles.loader import load
from edgewright.optimizer.arguments import recipe_of
from edgewright.optimizer.quantize.quantize import Quantize
from edgewright.optimizer.recipe import Recipe
from edgewright.optimizer.recipes import RECIPES
from edgewright.optimizer.training import weights_of
from edgewright.optimizer.variants import Variant, variants_of
from edgewright.runtimes import registry


def _recipe(**more: Any) -> Recipe:
    return recipe_of("m.onnx", {"data": "x.npz", "profiles": "arm64-linux", **more})


def _variants(*pipelines: str) -> tuple[Variant, ...]:
    return variants_of(_recipe(pipelines=pipelines))[1:]


def test_without_pipelines_there_is_the_plain_model_alone() -> None:
    (plain,) = variants_of(_recipe())
    assert (plain.name, plain.passes, plain.quantize, plain.trains) == ("", (), None, False)


@pytest.mark.parametrize("name", RECIPES)
def test_every_named_recipe_is_a_pipeline_that_can_be_copied(name: str) -> None:
    (named,) = variants_of(_recipe(recipes=name))[1:]
    (copied,) = _variants(f"{name}: {RECIPES[name].text}")
    assert named == copied
    assert named.trains


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("finetune{epochs=3}", "finetune{epochs=3},fold-bn"),
        ("finetune{epochs=3},quantize{bits=4}", "finetune{epochs=3},fold-bn,quantize{bits=4}"),
        ("finetune,fold-bn,quantize", "finetune,fold-bn,quantize"),
        ("quantize{bits=4}", "fold-bn,quantize{bits=4}"),
        ("canonicalize,fold-bn", "canonicalize,fold-bn"),
    ],
)
def test_fold_bn_is_put_where_it_belongs(text: str, whole: str) -> None:
    (variant,) = _variants(text)
    assert variant.text == whole
    assert _variants(whole) == (variant,)


def test_names_are_given_or_counted() -> None:
    found = _variants("finetune", "mine : finetune{lr=0.1}", "quantize{bits=4}")
    assert [variant.name for variant in found] == ["pipeline-1", "mine", "pipeline-3"]
    assert found[2].quantize == Quantize(bits=4)
    assert [variant.trains for variant in found] == [True, True, False]


def test_trainings_are_weighed_by_their_epochs() -> None:
    found = _variants(
        "prune{schedule=iterative,steps=4,epochs=2},finetune{epochs=7}", "canonicalize", "distill,quantize{mode=qat}"
    )
    one = registry.get("onnxruntime").scheme(load("arm64-linux"))
    schemes = [one, replace(one, name="another name"), replace(one, saturating_pairs=not one.saturating_pairs)]
    prune, finetune, distill, *qat = weights_of(found, schemes).values()
    assert finetune - prune == 7 - 3 * 2
    assert distill - finetune == 20 - 7
    assert len(qat) == 2


@pytest.mark.parametrize(
    ("pipelines", "words"),
    [
        (["prun{amount=0.5}"], ["unknown pass 'prun'"]),
        (["finetune{epoch=3}"], ["unknown option 'epoch'", "did you mean 'epochs'?"]),
        (["finetune{epochs=0}"], ["epochs=0", "at least 1"]),
        (["finetune,,quantize"], ["cannot read the pipeline"]),
        ([""], ["'pipeline-1' is empty"]),
        (["finetune,fold-bn,finetune"], ["'finetune' after fold-bn", "only quantize may stand"]),
        (["fold-bn,quantize,store-float16"], ["'store-float16' after fold-bn"]),
        (["quantize,finetune"], ["'finetune' after fold-bn"]),
        (["quantize,finetune,fold-bn"], ["'quantize' before fold-bn", "must be the last"]),
        (["fold-bn,finetune,fold-bn"], ["fold-bn twice"]),
        (["fold-bn,quantize,quantize{bits=4}"], ["quantizes twice"]),
        (["a: finetune", "a: finetune{lr=0.1}"], ["two pipelines are named 'a'"]),
        (["a-name-of-many-letters: finetune"], ["'a-name-of-many-letters'", "at most 14 characters"]),
        (["plain: finetune"], ["'plain' is the model's own"]),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(pipelines: list[str], words: list[str]) -> None:
    with pytest.raises((PassError, UsageError)) as caught:
        _variants(*pipelines)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"recipes": "smal"}, ["unknown recipe 'smal'", "did you mean 'small'?", "edgewright recipes"]),
        ({"budget": "10m"}, ["--budget is given and nothing trains", "--recipe"]),
        ({"teacher": "t.onnx"}, ["--teacher is given and nothing trains"]),
        ({"loss": "a:b"}, ["--loss is given and nothing trains"]),
        ({"recipes": "small", "budget": "ten"}, ["the budget 'ten' is no time"]),
        ({"recipes": "small", "budget": "0m"}, ["the budget '0m' is no time"]),
        ({"recipes": "small", "loss": "mine"}, ["loss is 'mine'", "module:function"]),
        ({"recipes": 3}, ["recipes is 3 of type int"]),
        ({"recipes": "small", "budget": 600}, ["budget is 600 of type int; give a text."]),
    ],
)
def test_what_training_is_asked_for_is_checked_at_once(more: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        _recipe(**more)
    for word in words:
        assert word in str(caught.value)


def test_the_compiler_loads_no_torch_before_something_trains() -> None:
    code = "import sys, edgewright.optimizer.compile; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
