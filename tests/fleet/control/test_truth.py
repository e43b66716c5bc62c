"""Whatever the network does, the server believes in the end what the device runs."""

from __future__ import annotations

from control.faults import scenario


def test_the_server_believes_what_the_device_runs(store):
    count = 30 if store.database.is_sqlite else 8
    assert [scenario(store, seed) for seed in range(count)] == [None] * count
