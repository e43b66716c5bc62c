"""The OpenAPI is true: schemathesis asks every route with what it allows and what it does not, as admin and as nobody."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

schemathesis = pytest.importorskip("schemathesis", reason="the OpenAPI is tested with schemathesis")

from schemathesis.generation import GenerationMode  # noqa: E402
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance  # noqa: E402

_FEW = settings(max_examples=8, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
# The grammar of queries, the order of a plan's figures and what is there are no matter of a schema. That who shows no token
# gets nowhere is asked of every route in test_roles.
_OTHERWISE = [positive_data_acceptance, ignored_auth]
_METHODS = ("get", "put", "post", "delete")


def operations(fleet):
    """Every operation of the description; tokens are left to the tests."""

    async def running(scope, receive, send):
        # schemathesis lets an application begin and end around every request; this one runs already.
        if scope["type"] != "lifespan":
            await fleet.client.app(scope, receive, send)
            return
        for what in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{what}.complete"})

    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", running)
    for methods in schema.raw_schema["paths"].values():
        for operation in methods.values():
            assert operation.pop("security") == [{"token": []}]
    return [found.ok() for found in schema.get_all_operations()]


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_answer_is_as_it_is_described(fleet, mode):
    fleet.rollout()
    headers = {"Authorization": f"Bearer {fleet.tokens['admin']}"}
    answered, untried = set(), set()
    for operation in operations(fleet):

        @_FEW
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case):
            answer = case.call(headers=headers)
            case.validate_response(answer, excluded_checks=_OTHERWISE)
            answered.add((case.operation.label, answer.status_code))

        try:
            ask()
        except Unsatisfiable:
            untried.add(operation.label)
    # What takes nothing cannot be given what it does not take.
    listing = {
        f"{method.upper()} {path}"
        for path, methods in fleet.client.get("/api/v1/openapi.json").json()["paths"].items()
        for method, told in methods.items()
        if not told.get("parameters") and "requestBody" not in told
    }
    assert len(listing) < 12
    assert untried == (set() if mode == GenerationMode.POSITIVE else listing)
    statuses = {status for _, status in answered}
    assert 401 not in statuses
    assert statuses & ({200} if mode == GenerationMode.POSITIVE else {400, 404})
    if mode == GenerationMode.POSITIVE:
        assert {label for label, _ in answered} == {operation.label for operation in operations(fleet)}


def test_nobody_is_told_anything_but_no(fleet):
    found = operations(fleet)
    for operation in found:

        @_FEW
        @given(case=operation.as_strategy())
        def ask(case):
            answer = case.call()
            assert answer.status_code == 401
            case.validate_response(answer, excluded_checks=_OTHERWISE)

        ask()
    assert {operation.method for operation in found} == set(_METHODS)
