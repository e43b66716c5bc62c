"""Who looks at a page: the token in a cookie that no script can read, and the field that proves a form to be ours.

Nothing is kept on the server: the cookie holds the person's token, so that a token that expires or is revoked ends every
session of it at once, and the field of a form is derived from it, so that only a page that was rendered for this person has it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from ..people import ROLES, People, Person

COOKIE = "edgewright_token"
MAX_FORM_BYTES = 16 << 10
_MAX_AGE_S = 12 * 3600
_FORMS = b"a form of the page"
_INSIDE = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")


class PageError(Exception):
    """A request that ends with a page that says so: its status, a title and a sentence."""

    def __init__(self, status: int, title: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.title, self.sentence = status, title, sentence


class NotSignedIn(Exception):
    """Nobody, or nobody any more, is signed in."""


@dataclass(frozen=True)
class Session:
    """Who is signed in, and the field that this person's forms carry."""

    person: Person
    csrf: str


async def session_of(request: Request, people: People) -> Session:
    """Who asks; raises NotSignedIn."""
    secret = request.cookies.get(COOKIE, "")
    person = await run_in_threadpool(people.find, secret)
    if person is None:
        raise NotSignedIn
    return Session(person, _field(secret))


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form of this server's own pages; of a field that comes twice the last. Raises PageError."""
    _check_origin(request)
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > MAX_FORM_BYTES:
            raise PageError(413, "Too large", f"A form has at most {MAX_FORM_BYTES} bytes.")
        pieces.append(piece)
    return dict(parse_qsl(b"".join(pieces).decode("utf-8", "replace"), keep_blank_values=True))


def check_form(session: Session, form: Mapping[str, str]) -> None:
    """Raise PageError unless the form was rendered for who sends it."""
    if not hmac.compare_digest(form.get("csrf", "").encode(), session.csrf.encode()):
        raise PageError(403, "Not done", "This form is not one of this session's; go back, load the page anew and try again.")


def check_role(session: Session, least: str) -> None:
    """Raise PageError for a role below `least`."""
    if not may(session.person, least):
        raise PageError(403, "Not allowed", f"This needs the role {least}, and yours is {session.person.role}; ask an admin.")


def may(person: Person, least: str) -> bool:
    """Whether a person's role suffices."""
    return ROLES.index(person.role) >= ROLES.index(least)


def sign_in(response: Response, secret: str, is_secure: bool) -> None:
    """Let the browser keep the token for half a day."""
    response.set_cookie(COOKIE, secret, max_age=_MAX_AGE_S, httponly=True, samesite="strict", secure=is_secure)


def sign_out(response: Response, is_secure: bool) -> None:
    """Let the browser forget the token."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=is_secure)


def inside(address: str) -> str:
    """`address` where it is a path of this server, else the first page: nobody is sent elsewhere after signing in."""
    return address if _INSIDE.fullmatch(address) else "/"


def _field(secret: str) -> str:
    return hmac.new(secret.encode("utf-8", "replace"), _FORMS, hashlib.sha256).hexdigest()


def _check_origin(request: Request) -> None:
    """Browsers say where a form comes from; what comes from elsewhere is refused, signing in with it too."""
    origin = request.headers.get("origin")
    is_foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if is_foreign or request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise PageError(403, "Not done", "This form came from another site; use the pages of this server.")
