"""The native kernels and their typed face, each with a numpy twin."""
