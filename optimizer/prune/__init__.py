"""Structured pruning on the IR: what can be removed, what should be, and its removal."""
