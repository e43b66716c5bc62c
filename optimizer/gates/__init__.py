"""Accuracy gates: metrics, text form, verdicts, the ledger."""
