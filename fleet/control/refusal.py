"""How the device routes refuse: a status, and `{"code": ..., "error": SENTENCE}`."""

from __future__ import annotations

from ...core.canonical import dumps
from ...core.errors import EdgewrightError, ProtocolError, StoreError
from .auth import NotAllowed, NotSigned
from .store import Refused


class TooLarge(ProtocolError):
    """A request of more bytes than it may have."""


_STATUSES = ((TooLarge, 413), (NotSigned, 401), (NotAllowed, 403), (Refused, 403), (StoreError, 503))


def refusal(error: EdgewrightError) -> tuple[int, bytes]:
    """Status and body of the answer to a request that met this error; 400 where nothing closer is known."""
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 400)
    code = getattr(error, "refusal", None) or error.code
    # What the database said is for the log of who runs it.
    told = "the server cannot keep it now; try again later." if isinstance(error, StoreError) else str(error)
    return status, dumps({"code": code, "error": told.encode("utf-8", "replace").decode()})
