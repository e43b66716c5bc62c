"""Patches between artifacts: small to send, applied with the standard library in a few MiB, nothing before the digest fits."""
