"""Rollouts as arithmetic: queries, plans, stages, tests and states; no database, no clock, no network."""
