"""The page's routes: every page needs a person's token, every change an operator's and a form of this session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool

from ....core.errors import UsageError
from ...rollout.state import VERBS
from ..api.parts import Parts
from ..drift.store import Drift
from ..drift_report.gather import MAX_SINCE_S, models_of, report_of
from ..drift_report.records import Report
from .answers import PageRoute
from .devices import device_view, devices_view
from .drift import drift_page, drifts_view
from .drift_file import drift_file
from .glance import fleet_view
from .records import artifacts_view, audit_view
from .render import SCRIPT, STYLE, name_of, render, static
from .rollout import rollout_view
from .rollouts import rollout_rows
from .session import PageError, Session, check_form, check_role, form_of, inside, session_of, sign_in, sign_out
from .telemetry import telemetry_view

_LATE_POLLS = 3  # a device that missed as many is called silent
_LEAST_LATE_S = 600.0
_LIVE_S = 5  # between two looks of a page that stands open, at least
_LIVE_SHARE = 0.05  # of its time that the server may spend on such a page
_WEEK_S = 7 * 86400
_TYPES = {STYLE: "text/css; charset=utf-8", SCRIPT: "text/javascript; charset=utf-8"}


def routes(parts: Parts, poll_s: float) -> APIRouter:
    """The router; `poll_s` is how often devices ask, in seconds."""
    found = APIRouter(route_class=PageRoute, include_in_schema=False)
    database, clock, late_s = parts.database, parts.database.clock, max(_LATE_POLLS * poll_s, _LEAST_LATE_S)

    async def page(
        request: Request, template: str, here: str, view: Callable[[Session], Any], is_live: bool = False
    ) -> Response:
        """Render what `view` gives for who is signed in; None is a page that does not exist."""
        session = await session_of(request, parts.people)
        now, began = clock.now(), clock.monotonic()

        def work() -> str:
            shown = view(session)
            if shown is None:
                raise PageError(404, "Not found", "There is no such page; it may have been removed, or the address is wrong.")
            live_s = max(_LIVE_S, round((clock.monotonic() - began) / _LIVE_SHARE)) if is_live else None
            return render(template, view=shown, me=session.person, csrf=session.csrf, now=now, here=here, live_s=live_s)

        return HTMLResponse(await run_in_threadpool(work))

    @found.get("/")
    async def fleet(request: Request) -> Response:
        def view(session: Session) -> Any:
            with database.reading() as connection:
                return fleet_view(connection, clock.now(), late_s)

        return await page(request, "fleet", "/", view, is_live=True)

    @found.get("/devices")
    async def devices(request: Request, where: str = "", after: str = "") -> Response:
        def view(session: Session) -> Any:
            with database.reading() as connection:
                return devices_view(connection, clock.now(), late_s, where, after)

        return await page(request, "devices", "/devices", view)

    @found.get("/devices/{device}")
    async def device(request: Request, device: str) -> Response:
        def view(session: Session) -> Any:
            with database.reading() as connection:
                return device_view(connection, clock.now(), late_s, device)

        return await page(request, "device", "/devices", view, is_live=True)

    @found.get("/rollouts")
    async def rollouts(request: Request) -> Response:
        def view(session: Session) -> Any:
            with database.reading() as connection:
                return rollout_rows(connection)

        return await page(request, "rollouts", "/rollouts", view, is_live=True)

    @found.get("/rollouts/{number}")
    async def rollout(request: Request, number: str, left_out: str = "") -> Response:
        def view(session: Session) -> Any:
            return rollout_view(parts, session.person, _number(number), bool(left_out))

        return await page(request, "rollout", "/rollouts", view, is_live=not left_out)

    @found.post("/rollouts/{number}/{verb}")
    async def act(request: Request, number: str, verb: str) -> Response:
        session = await session_of(request, parts.people)
        check_form(session, await form_of(request))
        check_role(session, "operator")
        place = _number(number)
        known = next((item for item in VERBS if item == verb), None)
        if known is None:
            raise PageError(404, "Not found", "There is no such page, and nothing of this kind to do to a rollout.")
        try:
            await run_in_threadpool(parts.rollouts.act, place, known, session.person.name)
        except UsageError as error:
            raise PageError(409, "Not done", str(error)) from error
        return RedirectResponse(f"/rollouts/{place}", 303)

    @found.get("/telemetry")
    async def telemetry(request: Request, model: str = "", where: str = "") -> Response:
        return await page(
            request, "telemetry", "/telemetry", lambda session: telemetry_view(database, clock.now(), model, where)
        )

    drift = Drift(database)

    def drift_of(model: str, since: str, sha256: str) -> Report:
        """The report that an address asks for; raises PageError."""
        seconds = _number(since) if since else _WEEK_S
        if not 0 < seconds <= MAX_SINCE_S:
            raise PageError(400, "Not understood", f"Drift is shown for at most {MAX_SINCE_S:.0f} seconds back.")
        report = report_of(drift, model, float(seconds), sha256 or None)
        if report is None:
            raise PageError(404, "Not found", "There is no such page: nothing was counted of a model of this name.")
        return report

    @found.get("/drift")
    async def drifts(request: Request) -> Response:
        return await page(request, "drifts", "/drift", lambda session: drifts_view(models_of(drift)), is_live=True)

    @found.get("/drift/{model}")
    async def drift_of_model(request: Request, model: str, since: str = "", sha256: str = "") -> Response:
        def view(session: Session) -> Any:
            return drift_page(drift_of(model, since, sha256), int(since or _WEEK_S), session.person)

        return await page(request, "drift", "/drift", view, is_live=True)

    @found.get("/drift/{model}/report.html")
    async def drift_as_file(request: Request, model: str, since: str = "", sha256: str = "") -> Response:
        await session_of(request, parts.people)
        text = await run_in_threadpool(lambda: drift_file(drift_of(model, since, sha256)))
        # As a file, not as a page: the page's policy forbids the style that the file carries.
        return HTMLResponse(text, headers={"Content-Disposition": 'attachment; filename="drift.html"'})

    @found.post("/alerts/{number}/acknowledge")
    async def acknowledge(request: Request, number: str) -> Response:
        session = await session_of(request, parts.people)
        check_form(session, await form_of(request))
        check_role(session, "operator")
        place = _number(number)
        try:
            alert = await run_in_threadpool(drift.acknowledge, place, session.person.name)
        except UsageError as error:
            raise PageError(409, "Not done", str(error)) from error
        return RedirectResponse(f"/drift/{quote(alert.model, safe='')}", 303)

    @found.get("/artifacts")
    async def artifacts(request: Request) -> Response:
        def view(session: Session) -> Any:
            with database.reading() as connection:
                return artifacts_view(connection)

        return await page(request, "artifacts", "/artifacts", view)

    @found.get("/audit")
    async def audit(request: Request, before: str = "") -> Response:
        def view(session: Session) -> Any:
            with database.reading() as connection:
                return audit_view(connection, _number(before) if before else None)

        return await page(request, "audit", "/audit", view)

    @found.get("/login")
    async def login(request: Request, next: str = "/") -> Response:
        return HTMLResponse(_login(inside(next), ""))

    @found.post("/login")
    async def enter(request: Request) -> Response:
        form = await form_of(request)
        secret, goal = form.get("token", "").strip(), inside(form.get("next", "/"))
        if await run_in_threadpool(parts.people.find, secret) is None:
            text = "This token is not known, or it has expired or was revoked. Ask who runs the server for another."
            return HTMLResponse(_login(goal, text), 401)
        answer = RedirectResponse(goal, 303)
        sign_in(answer, secret, request.url.scheme == "https")
        return answer

    @found.post("/logout")
    async def leave(request: Request) -> Response:
        session = await session_of(request, parts.people)
        check_form(session, await form_of(request))
        answer = RedirectResponse("/login", 303)
        sign_out(answer, request.url.scheme == "https")
        return answer

    @found.get("/static/{name}")
    async def file(name: str) -> Response:
        for known, kind in _TYPES.items():
            if name == f"{name_of(known)}.{known.partition('.')[2]}":
                return Response(
                    static(known), media_type=kind, headers={"Cache-Control": "public, max-age=31536000, immutable"}
                )
        raise PageError(404, "Not found", "There is no such file.")

    return found


def _login(goal: str, error: str) -> str:
    return render("login", me=None, csrf="", now=0.0, here="", live_s=None, error=error, next=goal)


def _number(text: str) -> int:
    """A number of a rollout or an entry; raises PageError for what is none."""
    if not (text.isascii() and text.isdecimal() and len(text) < 17):
        raise PageError(404, "Not found", "There is no such page; numbers of rollouts and entries count from 1.")
    return int(text)
