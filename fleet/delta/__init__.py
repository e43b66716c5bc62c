"""Patches between artifacts: small to send, applied with the standard library in a few MiB, never trusted before the digest fits."""
