"""Every runtime that is here, one after the other."""

from __future__ import annotations

import pytest
from edgewright.core.errors import UsageError
from edgewright.runtimes import registry


@pytest.fixture(params=registry.NAMES)
def runtime(request):
    try:
        return registry.get(request.param)
    except (UsageError, ModuleNotFoundError) as error:
        pytest.skip(f"{request.param} is not here: {error}")
