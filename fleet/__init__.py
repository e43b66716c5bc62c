"""From an artifact to devices that run it: signed repositories, the agent, serving, telemetry, the control plane."""
