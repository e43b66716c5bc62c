"""Measurings on devices: asked for by people, handed to devices when they poll, merged."""
