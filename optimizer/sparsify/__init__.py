"""Unstructured sparsity: single weights become zero and stay so to the shipped file."""
