"""What a webhook hears of alerts: each change once, in order, however often it refuses."""

from __future__ import annotations

import http.server
import json
import threading

import pytest
from edgewright.core.errors import UsageError
from edgewright.fleet.control.drift.webhook import Webhook
from edgewright.fleet.control.tables import ALERTS


class Listener:
    """Takes POSTs, and answers each with the next of `statuses`, then with 204."""

    def __init__(self):
        self.statuses, self.heard = [], []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = outer.statuses.pop(0) if outer.statuses else 204
                outer.heard.append((status, self.headers["Idempotency-Key"], json.loads(body)))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *given):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hooks/secret"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def listener():
    found = Listener()
    yield found
    found.close()


def test_each_change_of_an_alert_is_told_once(small_world, listener):
    world = small_world
    webhook = Webhook(world.database, listener.url)
    world.hour()
    webhook.tick()
    assert listener.heard == []
    world.hour(world.everybody(0.8))
    webhook.tick()
    webhook.tick()
    Webhook(world.database, listener.url).tick()  # after a new start
    world.hour(world.everybody(0.8))
    webhook.tick()
    ((_, key, told),) = listener.heard
    assert (told["model"], told["model_version"], told["measure"], told["state"]) == ("digits", 3, "input x1[0]", "open")
    assert told["scope"] == {"kind": "fleet", "name": "", "value": ""}
    assert told["event"] == key == f"edgewright/digits/{told['alert']}/severe/open"
    assert "drifts in the whole fleet" in told["evidence"]["sentence"]
    world.drift.acknowledge(told["alert"], "ann")
    webhook.tick()
    for _ in range(6):
        world.hour()
    webhook.tick()
    webhook.tick()
    assert [item["state"] for _, _, item in listener.heard] == ["open", "acknowledged", "closed"]
    assert listener.heard[1][2]["acknowledged_by"] == "ann"


def test_what_is_not_taken_is_told_again(world, listener, caplog):
    webhook = Webhook(world.database, listener.url)
    world.hour(world.everybody(2.0))
    listener.statuses = [500, 302, 403]
    for _ in range(6):
        webhook.tick()
        webhook.tick()  # too soon
        world.clock.advance(300.0)
    assert [status for status, _, _ in listener.heard] == [500, 302, 403, 204]
    assert len({key for _, key, _ in listener.heard}) == 1
    assert "127.0.0.1" in caplog.text
    assert "secret" not in caplog.text


def test_an_alert_that_is_refused_holds_up_no_other(world, listener):
    with world.database.transaction() as connection:
        for number in (1, 2, 3):
            connection.execute(
                ALERTS.insert().values(
                    id=number, key=str(number), model="digits", sha256="0" * 64, measure="x", scope="fleet", severity="severe",
                    state="open", first_at=0.0, last_at=0.0, windows=1, evidence="{}",
                )
            )  # fmt: skip
    webhook = Webhook(world.database, listener.url)
    listener.statuses = [400]
    webhook.tick()
    assert [(status, told["alert"]) for status, _, told in listener.heard] == [(400, 1), (204, 2), (204, 3)]
    world.clock.advance(300.0)
    webhook.tick()
    assert listener.heard[-1][0::2] == (204, listener.heard[0][2])


def test_an_address_that_nobody_answers_at_holds_nothing_up(world, listener):
    listener.close()
    webhook = Webhook(world.database, listener.url)
    world.hour(world.everybody(2.0))
    assert webhook.tick() >= 2.0
    assert world.drift.alerts()[0].state == "open"
    listener.__init__()
    Webhook(world.database, listener.url).tick()
    assert len(listener.heard) == 1


@pytest.mark.parametrize("url", ["ftp://x/y", "x", "https://", ""])
def test_an_address_that_is_none_is_refused(world, url):
    with pytest.raises(UsageError, match="https"):
        Webhook(world.database, url)
