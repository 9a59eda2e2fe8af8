"""Places and tolerances that the tests share. (Its folder is on the path of every test here.)"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
TINY = FIXTURES / "tiny"
PROFILES = ["fused", "portable"]

CLEAR = 1e-4  # ids are compared up to the first choice that was closer than this
MEL = 1e-5
LOGITS = 1e-3  # and audio features
PCM = 1e-4
STREAMED = 1e-6
