"""A file a tool; each runs in an environment of its own and imports nothing of the compiler (but for `edgewright_*`)."""
