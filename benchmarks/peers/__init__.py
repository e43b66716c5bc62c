"""The peers and the compiler on one set of models, data and machine: `make bench-peers`."""
