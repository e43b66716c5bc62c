"""Rewrites that preserve meaning: canonical form, batch-norm folding."""
