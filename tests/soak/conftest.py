"""Lets the unit tests of the soak find its modules and the router tests' clients that it uses."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
for folder in TESTS / "router", TESTS / "soak", TESTS.parent:
    sys.path.insert(0, str(folder))
