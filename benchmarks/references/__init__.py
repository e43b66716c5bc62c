"""The headline's reference models: architecture, data and seeded training of each, in plain torch."""
