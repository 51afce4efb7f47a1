"""The program: `miniigd` on a router, `python -m miniigd` elsewhere."""

import sys

# A word is a command to the running daemon, an option starts one; only what is needed is loaded.
if sys.argv[1:2] and not sys.argv[1].startswith("-") and sys.argv[1] != "check":
    from .client import main
else:
    from .supervisor import main

sys.exit(main(sys.argv[1:]))
