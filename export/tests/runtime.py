"""ONNX Runtime for the tests, its telemetry off: they all say `from runtime import onnxruntime`.

Since 1.31 importing it opens a database and an identifier in the user's cache folder, to be sent
home. It reads the environment once, as it is imported; its own switch comes after that.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime  # noqa: E402
from onnxruntime.tools.mobile_helpers import usability_checker  # noqa: E402

__all__ = ["onnxruntime", "usability_checker"]
