"""Errors, canonical JSON, the artifact, the step store, the executor protocol: standard library only."""
