"""How every request of the page ends: with headers that let a browser do nothing but show it, and errors as pages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute

from ....core.errors import EdgewrightError, StoreError
from .render import render
from .session import NotSignedIn, PageError

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_LOG = logging.getLogger(__name__)


class PageRoute(APIRoute):
    """A route whose errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with what it raises turned into a page."""
        handler = super().get_route_handler()

        async def shown(request: Request) -> Response:
            try:
                # Databases disagree on what a text with a NUL is; no address that this server gave has one.
                if "\0" in request.scope["path"] or b"%00" in request.scope["query_string"]:
                    raise PageError(400, "Not understood", "The address has a part that cannot be read.")
                response = await handler(request)
            except NotSignedIn:
                response = _to_login(request)
            except PageError as error:
                response = _error(error.status, error.title, error.sentence)
            except RequestValidationError:
                response = _error(400, "Not understood", "The address has a part that cannot be read.")
            except StoreError as error:
                # What the database said is for the log of who runs it.
                _LOG.error("%s", error)
                response = _error(503, "Not now", "The server cannot read or keep it now; try again later.")
            except EdgewrightError as error:
                response = _error(400, "Not done", str(error))
            response.headers.setdefault("Cache-Control", "no-store")
            response.headers.update(HEADERS)
            return response

        return shown


def _to_login(request: Request) -> Response:
    goal = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(goal, safe='')}" if request.method == "GET" else "/login", 303)


def _error(status: int, title: str, sentence: str) -> Response:
    page = render("error", title=title, error=sentence, back="/", me=None, csrf="", now=0.0, here="", live_s=None)
    return HTMLResponse(page, status)
