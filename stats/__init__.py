"""Every statistical test, once: paired bounds, bootstrap, ratio intervals."""
