"""Signed repositories (TUF): what a publisher signs, and how a device comes to trust it."""
