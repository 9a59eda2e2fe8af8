"""Published Mini-Omni checkpoints to one model folder of ONNX graphs; no torch needed."""

__version__ = "0.1.0"
