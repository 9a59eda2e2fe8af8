"""The "Any Model Can Talk" recipe: data, codec, three phases and their evaluation, in torch."""

import os

# ONNX Runtime (ours, and that of the voices) opens a database in the user's cache folder, to be
# sent home, unless this stands in the environment before it is imported: its own switch comes too
# late. This is the first line of the package that runs.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
