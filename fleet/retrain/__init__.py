"""Retraining: policies, the steps of a job, and the worker that does them; the compiler and the server are handed in."""
