"""Data sets and their splits, observers, ranges and streaming statistics."""
