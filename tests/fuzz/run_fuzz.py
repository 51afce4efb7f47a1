"""Give inputs of a corpus to the parsers on the lean runtime: run_fuzz TARGET FILE; see targets.py.

Prints "N inputs"; an input that its target does not survive is printed with the traceback, and the exit status is 1.
"""

import gc
import sys

from replay import unescape
from targets import TARGETS


def run(name, path):
    """Try each input of the corpus file; return how many failed."""
    count = failed = 0
    with open(path, "rb") as file:
        for line in file:
            data = unescape(line[:-1])
            count += 1
            try:
                TARGETS[name](data)
            except Exception as error:
                failed += 1
                sys.stderr.write("%s does not survive %r\n" % (name, data))
                sys.print_exception(error, sys.stderr)
            gc.collect()
    print("%d inputs" % count)
    return failed


sys.exit(1 if run(*sys.argv[1:]) else 0)
