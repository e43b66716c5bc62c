"""Passes that change numbers: storage precision."""
