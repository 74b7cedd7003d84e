"""Export of surrogate components to ONNX. This version of the package holds none yet."""
