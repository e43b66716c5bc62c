"""Times as people write them."""

from __future__ import annotations

import pytest
from edgewright.cli.amounts import moment
from edgewright.core.errors import UsageError


@pytest.mark.parametrize(
    "text", ["1784102400", "1784102400.0", "2026-07-15T08:00:00Z", "2026-07-15 08:00:00", "2026-07-15T10:00:00+02:00"]
)
def test_a_moment_is_a_number_of_seconds_or_a_date_and_time(text: str) -> None:
    assert moment(text, "--at") == 1784102400.0


@pytest.mark.parametrize("text", ["", "noon", "nan", "inf", "2026-13-01T00:00:00"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--at '.*' is no time"):
        moment(text, "--at")
