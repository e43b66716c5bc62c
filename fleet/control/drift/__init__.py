"""Drift in the control plane: the engine that judges what devices counted, its alerts, and what people see of it."""
