"""The program: `miniigd` on a router, `python -m miniigd` elsewhere."""

import sys

from .supervisor import main

sys.exit(main(sys.argv[1:]))
