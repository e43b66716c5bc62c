"""Which artifact is gone for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from agent.world import DEVICE, MODEL, artifact, offered
from edgewright.fleet.agent.choose import choose, misfit
from edgewright.fleet.agent.device import this_device
from edgewright.fleet.agent.journal import Failure, Record, SlotRecord
from edgewright.fleet.protocol.assignment import Wanted

FOLLOW = Wanted(MODEL)
RUNS = SlotRecord("a" * 64, f"{MODEL}/p/3.ewa", 3, True)


def test_follows_the_newest_that_fits() -> None:
    offers = [offered(artifact(version)) for version in (2, 5, 4)]
    alien = offered(artifact(9), arch="aarch64")
    other = offered(artifact(9), "words")
    assert choose(FOLLOW, [*offers, alien, other], DEVICE, Record(), RUNS).offered == offers[1]
    assert choose(FOLLOW, [*offers, alien], DEVICE, Record(), None).offered == offers[1]


def test_of_equal_versions_the_one_that_uses_most_of_the_cpu() -> None:
    plain, wide = offered(artifact(4)), offered(artifact(4, "wide"), profile="x86-64-fma", isa=("avx2", "fma"))
    assert choose(FOLLOW, [wide, plain], DEVICE, Record(), RUNS).offered == wide


def test_an_older_version_is_no_news_but_may_be_assigned() -> None:
    old = offered(artifact(1))
    assert choose(FOLLOW, [old], DEVICE, Record(), RUNS).offered is None
    assert choose(Wanted(MODEL, old.sha256), [old], DEVICE, Record(), RUNS).offered == old


@pytest.mark.parametrize(
    ("attempt", "times", "is_final", "may"),
    [
        (0, 1, False, True),
        (0, 2, False, True),
        (0, 3, False, False),
        (0, 1, True, False),
        (1, 1, True, True),
        (1, 3, False, True),
    ],
)
def test_what_failed_waits_for_a_higher_attempt(attempt: int, times: int, is_final: bool, may: bool) -> None:
    new = offered(artifact(4))
    record = Record(failures=(Failure(new.sha256, 0, times, is_final, "too slow"),))
    for wanted in (Wanted(MODEL, attempt=attempt), Wanted(MODEL, new.sha256, attempt=attempt)):
        choice = choose(wanted, [new], DEVICE, record, RUNS)
        assert (choice.offered is not None) == may
        assert may or "too slow" in choice.why


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"arch": "aarch64"}, "aarch64"),
        ({"isa": ("avx2", "avx512f")}, "avx512f"),
        ({"runtime": "litert"}, "litert"),
        ({"ram_bytes": 8 << 30}, "8192 MiB"),
    ],
)
def test_says_why_an_artifact_does_not_fit(changes: dict[str, object], why: str) -> None:
    alien = offered(artifact(4), **changes)
    assert why in (misfit(alien.offer, DEVICE) or "")
    choice = choose(Wanted(MODEL, alien.sha256), [alien], DEVICE, Record(), RUNS)
    assert (choice.offered, choice.refused) == (None, alien)
    assert why in choice.why


def test_takes_artifacts_of_its_profiles_only_where_it_has_some() -> None:
    mine = replace(DEVICE, profiles=frozenset({"my-board"}))
    assert "my-board" in (misfit(offered(artifact(4)).offer, mine) or "")
    assert misfit(offered(artifact(4), profile="my-board").offer, mine) is None


def test_what_failed_by_circumstances_is_tried_again_after_twice_as_many_polls_each_time() -> None:
    new = offered(artifact(4))
    for times, polls in ((3, 8), (4, 16), (60, 1024)):
        record = Record(failures=(Failure(new.sha256, 0, times, False, "no network"),))
        assert choose(FOLLOW, [new], DEVICE, record, RUNS, polls - 1).offered is None
        assert choose(FOLLOW, [new], DEVICE, record, RUNS, polls).offered == new
    final = Record(failures=(Failure(new.sha256, 0, 3, True, "too slow"),))
    assert choose(FOLLOW, [new], DEVICE, final, RUNS, 10**9).offered is None


def test_an_assigned_artifact_that_nobody_signed_is_waited_for() -> None:
    choice = choose(Wanted(MODEL, "b" * 64), [offered(artifact(4))], DEVICE, Record(), RUNS)
    assert choice.offered is choice.refused is None
    assert "not among those that are signed" in choice.why


def test_this_device_has_a_cpu_memory_and_the_runtimes_that_are_installed() -> None:
    device = this_device(["mine"])
    assert device.isa
    assert device.ram_bytes
    assert device.ram_bytes > 1 << 28
    assert "onnxruntime" in device.runtimes
    assert device.profiles == {"mine"}
