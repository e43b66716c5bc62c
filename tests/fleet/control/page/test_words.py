from __future__ import annotations

import pytest
from edgewright.fleet.control.page import words
from edgewright.fleet.control.page.marks import counts_text, outcome_bar, share_bar
from edgewright.fleet.control.page.views import Counts
from edgewright.fleet.protocol.report import RESULTS, STATES


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "–"), (0.0, "0 %"), (1.0, "100 %"), (0.025, "2.5 %"), (0.00001, "< 0.1 %"), (0.99999, "> 99.9 %"), (0.5, "50 %")],
)
def test_shares_say_neither_nothing_nor_all_of_what_is_neither(share, text):
    assert words.percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3599, "1 h"),
        (7200, "2 h"),
        (86400, "24 h"),
        (3 * 86400, "3 days"),
        (-5, "0 s"),
    ],
)
def test_durations_take_the_largest_unit_that_fits(seconds, text):
    assert words.duration(seconds) == text


def test_times_before_and_ahead():
    assert words.ago(None, 100.0) == "never"
    assert words.ago(99.0, 100.0) == "just now"
    assert words.ago(40.0, 100.0) == "1 min ago"
    assert words.ago(400.0, 100.0) == "in 5 min"
    assert words.stamp(0.0) == "1970-01-01 00:00:00 UTC"
    assert words.stamp(1e300) == "1e+300 s"


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.00056, "0.00056"), (1.334, "1.33"), (12345.6, "12,346"), (1e12, "1.00e+12")]
)
def test_numbers(value, text):
    assert words.number(value) == text


def test_control_characters_are_not_shown():
    assert words.printable("a\x1b[31m\nb\u202ec") == "a�[31m b�c"


def test_every_state_and_result_that_a_device_can_tell_is_in_plain_words():
    for state in STATES:
        assert words.update_pill(state, None).text not in STATES
    for result in RESULTS:
        pill = words.update_pill("Idle", result)
        assert pill.text not in RESULTS
        assert pill.kind == ("good" if result == "SUCCESSFUL" else "bad")
    # An update that is under way is told before how the one before it ended.
    assert words.update_pill("Download", "SUCCESSFUL").text == "downloading"


def test_no_two_kinds_of_pills_share_a_sign():
    signs = {}
    for pill in [*(words.outcome_pill(kind) for kind in ("good", "bad", "silent", None)), words.rollout_pill("running")]:
        signs.setdefault(pill.sign, set()).add(pill.text)
    assert all(len(texts) == 1 for texts in signs.values())


def test_an_outcome_of_a_few_among_many_is_seen():
    bar = str(outcome_bar(Counts(good=99_999, bad=1)))
    (bad,) = [part for part in bar.split("<rect") if 'class="bad"' in part]
    assert float(bad.split('width="')[1].split('"')[0]) > 1.5
    assert 'aria-label="99,999 good, 1 bad"' in bar
    assert counts_text(Counts()) == "no members"


def test_a_share_is_held_to_its_bar():
    assert 'width="140"' in str(share_bar(7.0)).split('class="fill"')[1]
    assert 'aria-label="0%"' in str(share_bar(-1.0))
