"""Measuring latency, memory and speed-ups."""
