"""One folder a runtime: lower, run, scheme; and the measuring harness."""
