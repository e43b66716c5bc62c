"""What devices tell is written together, and each hears what became of its own."""

from __future__ import annotations

import asyncio
import threading

import pytest
from edgewright.core.errors import ProtocolError, StoreError
from edgewright.fleet.control import writer as module
from edgewright.fleet.control.tables import GROUPS
from edgewright.fleet.control.writer import Writer
from sqlalchemy import insert, select, text


def names(database):
    with database.reading() as connection:
        return {row.name for row in connection.execute(select(GROUPS.c.name))}


def add(name):
    def work(connection):
        connection.execute(insert(GROUPS).values(name=name, query=""))
        if name.startswith("wrong"):
            raise ProtocolError(f"{name} is no name.")
        return name.upper()

    return work


def wait(database, *works):
    async def all_of_them():
        found = Writer(database)
        try:
            return await asyncio.gather(*(found.do(work) for work in works), return_exceptions=True)
        finally:
            found.close()

    return asyncio.run(all_of_them())


def test_each_gets_its_own_and_an_error_takes_back_its_own_only(database):
    found = wait(database, *(add(name) for name in ("a", "wrong", "b", "c")))
    assert found[0::2] == ["A", "B"]
    assert found[3] == "C"
    assert isinstance(found[1], ProtocolError)
    assert names(database) == {"a", "b", "c"}


def test_works_of_one_kind_that_wait_are_done_as_one(database):
    groups = []

    def work(connection, items):
        groups.append(list(items))
        return [ProtocolError("odd.") if item % 2 else item * 10 for item in items]

    async def ask():
        found = Writer(database)
        told = await asyncio.gather(*(found.do_as_one(work, item) for item in range(50)), return_exceptions=True)
        found.close()
        return told

    told = asyncio.run(ask())
    assert told[0::2] == [item * 10 for item in range(0, 50, 2)]
    assert all(isinstance(one, ProtocolError) for one in told[1::2])
    assert groups == [list(range(50))]


def test_a_database_that_refuses_is_one_sentence_and_the_next_work_goes_on(database):
    (found,) = wait(database, lambda connection: connection.execute(text("SELECT * FROM nowhere")))
    assert isinstance(found, StoreError)
    assert wait(database, add("after")) == ["AFTER"]


def test_a_request_that_is_gone_holds_nobody_up(database):
    async def ask():
        found = Writer(database)
        gone = asyncio.create_task(found.do(add("gone")))
        await asyncio.sleep(0)
        gone.cancel()
        stays = await found.do(add("stays"))
        found.close()
        return stays

    assert asyncio.run(ask()) == "STAYS"
    assert "stays" in names(database)


def test_too_much_that_waits_is_refused(database, monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    found = wait(database, *(add(str(number)) for number in range(5)))
    assert found[:3] == ["0", "1", "2"]
    assert all(isinstance(one, StoreError) for one in found[3:])


def test_a_loop_goes_on_while_the_disk_is_slow(database):
    go_on = threading.Event()

    def slow(connection):
        go_on.wait(5)
        return "done"

    async def ask():
        found = Writer(database)
        first = asyncio.create_task(found.do(slow))
        steps = 0
        while steps < 20:
            await asyncio.sleep(0.005)
            steps += 1
        assert not first.done()
        go_on.set()
        result = await first
        found.close()
        return result

    assert asyncio.run(ask()) == "done"


@pytest.mark.parametrize("count", [1, 450])
def test_nothing_is_lost_between_two_transactions(database, count):
    assert wait(database, *(add(str(number)) for number in range(count))) == [str(number) for number in range(count)]
    assert len(names(database)) == count
