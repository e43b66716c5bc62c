"""Whatever the network does, the server believes in the end what the device runs."""

from __future__ import annotations

from control.faults import scenario


def test_the_server_believes_what_the_device_runs(store):
    assert [scenario(store, seed) for seed in range(30)] == [None] * 30
