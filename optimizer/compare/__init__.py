"""`edgewright bench compare`: two builds, the figures of both, and whether one is a regression against the other."""
