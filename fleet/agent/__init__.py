"""What runs on a device beside its models: the updater, its state and its loop."""
