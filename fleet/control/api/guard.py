"""Who may do what: every route of the people's API names the least role, and only a token of it or of a higher one reaches it.

In order, before anything else of a request is looked at: the token is known, neither expired nor revoked (401); its role
suffices (403); the body has at most MAX_BODY_BYTES, or what its route allows (413). The refusal tells nothing of the token that
was shown.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.types import Message

from ....core.errors import UsageError
from ..people import ROLES, Person
from .parts import Parts

MAX_BODY_BYTES = 64 << 10
ROLE = "x-role"  # the field of a route's OpenAPI that names the least role
MOST = "x-most-bytes"  # and of the most bytes of its body, where that is not MAX_BODY_BYTES


class Refusal(HTTPException):
    """A request that goes no further: status, `code` for programs, one sentence for people."""

    def __init__(self, status: int, code: str, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, sentence, headers)
        self.code = code


@contextmanager
def refusing(status: int, code: str) -> Iterator[None]:
    """What is refused within as a UsageError is because of what is there, not of what was sent: (409, "state"), for example."""
    try:
        yield
    except UsageError as error:
        raise Refusal(status, code, str(error)) from error


def least(role: str, most_bytes: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """What a route gives as `openapi_extra`: its least role, and how many bytes a body may have."""
    return {ROLE: role} if most_bytes == MAX_BODY_BYTES else {ROLE: role, MOST: most_bytes}


class GuardedRoute(APIRoute):
    """A route that its role guards."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler behind the checks; a route without a role is a KeyError at start."""
        handler, extra = super().get_route_handler(), self.openapi_extra or {}
        wanted, most = ROLES.index(extra[ROLE]), extra.get(MOST, MAX_BODY_BYTES)

        async def guarded(request: Request) -> Response:
            person = await _person(request)
            if ROLES.index(person.role) < wanted:
                raise Refusal(
                    403, "role", f"this needs the role {ROLES[wanted]}, and your token has {person.role}; ask an admin."
                )
            request.scope["person"] = person
            response = await handler(Request(request.scope, _bounded(request, most)))
            response.headers["Cache-Control"] = "no-store"
            return response

        return guarded


def who(request: Request) -> Person:
    """The person that a guarded route was reached by."""
    person: Person = request.scope["person"]
    return person


async def _person(request: Request) -> Person:
    shown = request.headers.getlist("authorization")
    kind, _, secret = shown[0].partition(" ") if len(shown) == 1 else ("", "", "")
    parts: Parts = request.app.state.parts
    person = await run_in_threadpool(parts.people.find, secret.strip()) if kind.lower() == "bearer" else None
    if person is None:
        raise Refusal(
            401,
            "token",
            "a token that is known and neither expired nor revoked is needed, as `Authorization: Bearer ew_...`; ask an admin.",
            {"WWW-Authenticate": "Bearer"},
        )
    return person


def _bounded(request: Request, most: int) -> Callable[[], Coroutine[Any, Any, Message]]:
    """`request.receive` that ends with 413 behind `most` bytes."""
    size = 0

    async def receive() -> Message:
        nonlocal size
        message = await request.receive()
        size += len(message.get("body", b""))
        if size > most:
            raise Refusal(413, "size", f"the request has more than {most} bytes.")
        return message

    return receive
