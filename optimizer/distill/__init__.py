"""Distillation: what a model learns from another one."""
