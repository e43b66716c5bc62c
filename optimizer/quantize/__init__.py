"""Static int8 and weight-only quantization in the target's scheme."""
