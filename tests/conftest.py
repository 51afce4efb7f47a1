"""Lets the tests import the daemon from src/ and the build from the tree's top."""

import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
for folder in (TOP, TOP / "src"):
    sys.path.insert(0, str(folder))
