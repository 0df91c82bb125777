"""These tests find the module of made-up profiles beside them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
