"""Who is let in while the memory of polls is behind: looks are shared, and none that began before a change is taken for it."""

from __future__ import annotations

import asyncio
import threading

from edgewright.fleet.control.door import Door
from edgewright.fleet.control.keeper import Keeper
from edgewright.fleet.control.polls import Polls
from edgewright.fleet.protocol.enrolment import Enrolment
from edgewright.fleet.protocol.signature import sign
from nacl.signing import SigningKey


def enrol(store, key=bytes(32)):
    return store.enrol(Enrolment(store.make_token(60.0, "test"), key))


def test_one_look_serves_all_that_wait_for_it(database, store):
    polls = Polls(database, store)
    keeper = Keeper(polls)
    looks, go_on = [], threading.Event()
    plain = polls.look

    def look():
        looks.append(1)
        go_on.wait(5)
        plain()

    polls.look = look
    name = enrol(store)

    async def ask():
        waiting = [asyncio.create_task(keeper.catch_up()) for _ in range(50)]
        await asyncio.sleep(0.05)
        go_on.set()
        await asyncio.gather(*waiting)

    asyncio.run(ask())
    assert len(looks) == 1
    assert polls.device(name) is not None


def test_a_look_that_began_before_a_change_is_not_taken_for_it(database, store):
    polls = Polls(database, store)
    keeper = Keeper(polls)
    plain, has_read, go_on = polls.look, threading.Event(), threading.Event()

    def slow():
        plain()
        has_read.set()
        go_on.wait(5)

    async def ask():
        polls.look = slow
        early = asyncio.create_task(keeper.look_for_stranger())
        await asyncio.to_thread(has_read.wait, 5)
        polls.look = plain
        name = await asyncio.to_thread(enrol, store)
        late = asyncio.create_task(keeper.look_for_stranger())
        await asyncio.sleep(0.4)  # longer than a request waits for the look where its device is known
        go_on.set()
        await asyncio.gather(early, late)
        return name

    name = asyncio.run(ask())
    assert polls.device(name) is not None


class Overtaken(Polls):
    """Another look ends right after each time a device was looked for."""

    is_behind = False

    def device(self, name):
        found = super().device(name)
        self.look()
        return found


def test_what_is_learnt_while_a_signature_is_verified_counts(database, store):
    polls, key = Overtaken(database, store), SigningKey.generate()
    name = enrol(store, bytes(key.verify_key))
    fields = sign("POST", "http://x/v1/samples", b"", name, database.clock.now(), lambda data: key.sign(data).signature)
    scope = {"method": "POST", "path": "/v1/samples", "query_string": b""}
    door = Door(polls, Keeper(polls), database.clock)
    headers = {field.lower(): value for field, value in fields.items()}
    assert asyncio.run(door.device(scope, headers, b"")) == name
