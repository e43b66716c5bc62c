"""Telemetry: requests counted in the artifact's bins, window by window, kept until the server has them, never twice."""
