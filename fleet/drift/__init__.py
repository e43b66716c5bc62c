"""What changed since an artifact was compiled, out of devices' counts: pure functions, without database, clock or network."""
