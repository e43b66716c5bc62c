"""From an artifact to devices that run it: signed repositories, the agent on a device, serving, telemetry, the control plane."""
