"""Every refusal of the people's API is `{"code": ..., "error": SENTENCE}`, whoever it comes from."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from ....core.canonical import dumps
from ....core.errors import EdgewrightError, StoreError
from .guard import Refusal

_SHOWN = 200  # characters of what a request had wrong

_STATUS_WORDS = {404: ("path", "there is nothing at this address."), 405: ("method", "this address knows no such method.")}


def add_refusals(app: FastAPI) -> None:
    """Let `app` answer errors in the one form."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(StoreError, _store)
    app.add_exception_handler(EdgewrightError, _mistaken)


def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if isinstance(error, Refusal):
        return _refused(error.status_code, error.code, str(error.detail), dict(error.headers or {}))
    code, sentence = _STATUS_WORDS.get(error.status_code, ("request", "the request cannot be read; send JSON as documented."))
    return _refused(error.status_code, code, sentence, dict(error.headers or {}))


def _malformed(request: Request, error: Exception) -> Response:
    """The first thing that is wrong, with its place, without what was sent: that may be a secret."""
    if not isinstance(error, RequestValidationError):
        raise error
    first: dict[str, Any] = dict(error.errors()[0])
    place = " ".join(str(item) for item in first["loc"] if item != "body") or "the body"
    return _refused(400, "request", f"the request is malformed at {place[:_SHOWN]}: {str(first['msg'])[:_SHOWN]}.")


def _store(request: Request, error: Exception) -> Response:
    # What the database said is for the log of who runs it.
    return _refused(503, StoreError.code, "the server cannot keep or read it now; try again later.")


def _mistaken(request: Request, error: Exception) -> Response:
    return _refused(400, getattr(error, "code", EdgewrightError.code), str(error))


def _refused(status: int, code: str, sentence: str, headers: dict[str, str] | None = None) -> Response:
    shown = sentence.encode("utf-8", "replace").decode()
    return Response(dumps({"code": code, "error": shown}), status, headers, media_type="application/json")
