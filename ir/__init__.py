"""The model over onnx-ir: reading, statistics, verification, passes and pipelines."""
