"""Offers round-trip to the byte, fit into TUF's canonical JSON, and everything malformed is refused in one sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from edgewright.core.canonical import dumps
from edgewright.core.errors import ProtocolError
from edgewright.fleet.protocol.offer import (
    Chunks,
    Delta,
    FileRef,
    Latency,
    Offer,
    OfferedGate,
    beside,
    target_name,
)
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical

OFFER = Offer(
    model="digits",
    version=3,
    profile="raspberry-pi-4b",
    arch="aarch64",
    isa=("asimd", "crc32"),
    runtime="onnxruntime",
    runtime_version="1.32.0",
    precision="int8",
    size_bytes=1234,
    content_digest="0" * 64,
    ram_bytes=5_000_000,
    latency=Latency(0.680993, 10.63069122, "target"),
    gates=(OfferedGate("top1 >= -1pt", "passed", None, False), OfferedGate("top1[age]", "undecided", "age=old", True)),
    bom=FileRef("digits/raspberry-pi-4b/3.bom.json", "1" * 64),
    provenance=FileRef("digits/raspberry-pi-4b/3.provenance.json", "2" * 64),
    chunks=Chunks("digits/raspberry-pi-4b/3.chunks", "3" * 64),
    bins=FileRef("digits/raspberry-pi-4b/3.bins.json", "4" * 64),
    deltas=(Delta("4" * 64, "digits/raspberry-pi-4b/3.from-4444444444444444.zstd", "zstd", 99),),
    operators={"ai.onnx": 17},
)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
_times = st.floats(0, 10**6)
_offers = st.builds(
    replace,
    st.just(OFFER),
    version=st.integers(1, 10**9),
    model=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", fullmatch=True).filter(lambda name: name != "canary"),
    isa=st.lists(_texts, max_size=5).map(tuple),
    ram_bytes=st.none() | st.integers(0, 2**53 - 1),
    latency=st.none() | st.builds(Latency, _times, _times, st.sampled_from(["target", "emulated", "reference"])),
    operators=st.dictionaries(_texts, st.integers(0, 10**6), max_size=3),
    bom=st.none() | st.just(OFFER.bom),
)


@given(_offers)
def test_offers_survive_the_way_through_signed_metadata(offer: Offer) -> None:
    encode_canonical(offer.to_json())  # what TUF signs; refuses fractions
    assert Offer.from_json(json.loads(dumps(offer.to_json()))) == offer


def test_an_offer_from_before_there_were_bins_is_read_as_it_stands() -> None:
    value = OFFER.to_json()
    del value["bins"]
    assert Offer.from_json(value) == replace(OFFER, bins=None)
    with pytest.raises(ProtocolError):
        Offer.from_json({**value, "bins": None})


_junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(OFFER.to_json())), _junk)
def test_a_field_of_another_kind_is_refused_or_read_as_it_stands(field: str, junk: Any) -> None:
    value = {**OFFER.to_json(), field: junk}
    try:
        read = Offer.from_json(value)
    except ProtocolError:
        return
    assert read.to_json() == value


@pytest.mark.parametrize("field", sorted(set(OFFER.to_json()) - {"bins"}))
def test_every_field_must_be_there(field: str) -> None:
    value = OFFER.to_json()
    del value[field]
    with pytest.raises(ProtocolError, match=field):
        Offer.from_json(value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": "red"}, "does not know"),
        ({"offer_version": 2}, "version 2"),
        ({"version": 0}, "no version"),
        ({"version": True}, "count"),
        ({"model": "../x"}, "cannot stand"),
        ({"model": "canary"}, "canary role"),
        ({"profile": "a/b"}, "cannot stand"),
        ({"size_bytes": 2**60}, "no count"),
        ({"arch": "x" * 301}, "301 characters"),
        ({"isa": ["x"] * 257}, "more than 256 isa"),
        ({"gates": [OFFER.gates[0].to_json()] * 300}, "more than 256 gates"),
        ({"bom": {"path": "/etc/passwd", "sha256": "1" * 64}}, "no name of a target"),
        ({"bom": {"path": "a/../b", "sha256": "1" * 64}}, "no name of a target"),
        ({"chunks": {"path": "a/b/1.chunks", "sha256": "1" * 64, "chunk_bytes": 1}}, "4 KiB"),
        ({"latency": {"measured_on": "target", "p50_ns": 1.5, "p99_ns": 2}}, "p50_ns"),
        ({"latency": {"measured_on": "target", "p50_ns": 10**18, "p99_ns": 2}}, "latency"),
    ],
)
def test_what_is_out_of_range_is_refused_with_what_and_why(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        Offer.from_json({**OFFER.to_json(), **change})


@pytest.mark.parametrize("value", [None, [], "offer", 3])
def test_what_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(ProtocolError, match="not an object"):
        Offer.from_json(value)


def test_names_of_targets() -> None:
    name = target_name("digits", "pi", 3)
    assert name == "digits/pi/3.ewa"
    assert beside(name, "bom.json") == "digits/pi/3.bom.json"
    assert target_name("digits", "pi", 3, is_canary=True) == "canary/digits/pi/3.ewa"
    with pytest.raises(ProtocolError, match="letters, digits"):
        target_name("two words", "pi", 1)


@pytest.mark.parametrize("milliseconds", [-1.0, float("nan"), float("inf")])
def test_a_latency_is_a_time(milliseconds: float) -> None:
    with pytest.raises(ProtocolError, match="no time"):
        Latency(milliseconds, 1.0, "target")
