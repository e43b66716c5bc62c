"""Measuring on the device: a job of the server's, in a process of its own, with the device's health watched."""
