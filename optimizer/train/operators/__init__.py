"""What each ONNX operator computes, as a function of torch tensors."""
