"""`python -m mini_omni_export`."""

import sys

from .cli import main

sys.exit(main())
