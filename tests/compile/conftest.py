"""Pictures of reports are drawn once for all compiles here."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _drawn_once(drawn_once: None) -> None:
    """See `drawn_once`."""
