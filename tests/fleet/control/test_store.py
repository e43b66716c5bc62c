"""What the control plane's database holds to: order of starts, tokens, room, and what a power cut may take."""

from __future__ import annotations

import pytest
from edgewright.core.errors import ProtocolError, UsageError
from edgewright.fleet.control.order import LATE_S
from edgewright.fleet.control.store import Refused
from edgewright.fleet.protocol.assignment import MAX_ATTEMPT, MAX_MODELS, Assignment, Wanted
from edgewright.fleet.protocol.enrolment import Enrolment, device_name
from edgewright.fleet.protocol.report import MAX_SEQUENCE, Report

KEY, NEXT = bytes(32), bytes(range(32))


@pytest.fixture
def device(store):
    return store.enrol(Enrolment(store.make_token(60.0, "test"), KEY))


def said(store):
    return store.devices()[0]["models"]["digits"]["said"]["running"]


def tell(store, device, boot, sequence, running):
    store.take(Report(device, boot, sequence, "digits", running * 32, None, "Idle", None, "", 0.0))


# Order


def test_of_two_starts_with_one_count_the_later_is_whose_first_report_came_later(store, device):
    tell(store, device, "00000007-ff", 1, "aa")
    tell(store, device, "00000007-00", 1, "bb")
    assert said(store) == "bb" * 32
    tell(store, device, "00000007-ff", 2, "cc")  # on its way since before the restart
    assert said(store) == "bb" * 32
    tell(store, device, "00000007-00", 2, "dd")
    assert said(store) == "dd" * 32


def test_a_report_of_an_earlier_start_that_comes_first_after_a_later_ones_is_late(store, device):
    tell(store, device, "00000008-00", 1, "aa")
    tell(store, device, "00000007-ff", 1, "bb")
    assert said(store) == "aa" * 32


def test_counts_of_starts_are_numbers_not_texts(store, device):
    tell(store, device, "99999999-a", 1, "aa")
    tell(store, device, "100000000-a", 1, "bb")
    tell(store, device, "99999999-a", 2, "cc")
    assert said(store) == "bb" * 32


def test_a_device_that_counts_its_starts_anew_is_believed_once_no_late_report_can_look_like_it(store, device, clock):
    tell(store, device, "00000050-a", 1, "aa")
    clock.advance(LATE_S)
    tell(store, device, "00000001-b", 1, "bb")
    assert said(store) == "aa" * 32  # may have been on its way
    clock.advance(1.0)
    tell(store, device, "00000001-b", 2, "cc")
    assert said(store) == "cc" * 32
    tell(store, device, "00000050-a", 2, "dd")  # of before
    assert said(store) == "cc" * 32
    tell(store, device, "00000002-c", 1, "ee")
    assert said(store) == "ee" * 32
    tell(store, device, "00000001-b", 3, "ff")
    assert said(store) == "ee" * 32


# Enrolment


def test_a_fresh_token_is_good_for_a_device_that_is_known(store, device):
    token = store.make_token(60.0, "test")
    assert store.enrol(Enrolment(token, KEY)) == device
    assert len(store.devices()) == 1
    with pytest.raises(Refused, match="used by another"):
        store.enrol(Enrolment(token, NEXT))


def test_a_revoked_device_comes_back_with_a_new_key_only(store, device):
    store.revoke(device, "test")
    token = store.make_token(60.0, "test")
    with pytest.raises(Refused, match="was revoked"):
        store.enrol(Enrolment(token, KEY))
    assert store.device(device).is_revoked
    assert store.enrol(Enrolment(token, NEXT)) == device_name(NEXT)


def test_a_token_does_not_bring_a_replaced_key_back(store, device):
    store.replace_key(device, NEXT)
    with pytest.raises(Refused, match="another key by now"):
        store.enrol(Enrolment(store.make_token(60.0, "test"), KEY))
    assert store.device(device).public_key == NEXT


def test_the_token_of_an_enrolment_tells_a_device_that_it_was_revoked(store):
    token = store.make_token(60.0, "test")
    store.revoke(store.enrol(Enrolment(token, KEY)), "test")
    with pytest.raises(Refused, match="was revoked"):
        store.enrol(Enrolment(token, KEY))


# Bounds


def test_a_device_is_assigned_no_more_models_than_an_assignment_holds(store, device):
    for number in range(MAX_MODELS):
        store.assign(device, Wanted(f"m{number}"), "test")
    with pytest.raises(UsageError, match="runs no more"):
        store.assign(device, Wanted("another"), "test")
    store.assign(device, Wanted("m0"), "test")
    assert Assignment.decode(store.assignment(device).encode()).models["m0"].attempt == 1
    store.abort(device, "m1", "test")
    store.assign(device, Wanted("another"), "test")
    with pytest.raises(UsageError, match="runs no more"):
        store.assign(device, Wanted("m1"), "test")


@pytest.mark.parametrize("wanted", [Wanted("m", attempt=MAX_ATTEMPT + 1), Wanted("m", "ab" * 32, "x" * 301)])
def test_an_assignment_out_of_bounds_is_refused(wanted):
    with pytest.raises(ProtocolError, match="longer name or more attempts"):
        Assignment.decode(Assignment({"m": wanted}).encode())


def test_a_report_with_a_number_that_no_database_keeps_is_refused(store, device):
    report = Report(device, "1-a", MAX_SEQUENCE, "digits", None, None, "Idle", None, "", 0.0)
    assert store.take(Report.decode(report.encode())) is False
    with pytest.raises(ProtocolError, match="higher number"):
        Report.decode(Report(**{**vars(report), "sequence": 2**63}).encode())


# Power


def test_polls_write_when_a_device_was_seen_once_a_minute(store, device, clock):
    store.assignment(device)
    first = store.devices()[0]["seen_at"]
    assert first == clock.now()
    clock.advance(59.0)
    store.assignment(device)
    assert store.devices()[0]["seen_at"] == first
    clock.advance(1.0)
    store.assignment(device)
    assert store.devices()[0]["seen_at"] == first + 60.0
    clock.set_wall(first - 1e6)
    store.assignment(device)
    assert store.devices()[0]["seen_at"] == clock.now()
