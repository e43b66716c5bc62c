"""Device profiles: one TOML file a device, every fact with its source."""
