"""What Keras imports in vain is out of the way while it is imported, and there again afterwards."""

from __future__ import annotations

import sys

import pytest
from edgewright.optimizer.ingest import lean as module
from edgewright.optimizer.ingest.lean import lean


@pytest.fixture(autouse=True)
def in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IN_VAIN", ("colorsys", "string"))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)


def test_libraries_are_hidden_in_the_block_alone() -> None:
    with lean(), pytest.raises(ImportError, match="colorsys"):
        import colorsys
    assert "colorsys" not in sys.modules
    import colorsys

    assert colorsys.rgb_to_yiq(0, 0, 0) == (0, 0, 0)


def test_what_is_imported_already_stays_also_after_an_error() -> None:
    before = sys.modules["string"]
    with pytest.raises(RuntimeError), lean():
        import string

        assert string is before
        raise RuntimeError
    assert sys.modules["string"] is before
    assert "colorsys" not in sys.modules
