"""The world of this directory is found by its plain name, as the command line does."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
