"""The people's API of the control plane: JSON under /api/v1 for commands and scripts, each request with a person's token."""
