"""Serving on the device: one worker process a generation, the Open Inference Protocol, a session inside an application."""
