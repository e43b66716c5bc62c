"""Quantization-aware training: integers that are learned in a simulation of the kernels that will compute with them."""
