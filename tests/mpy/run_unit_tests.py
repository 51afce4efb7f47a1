"""Run the unit tests on the lean runtime: every test_* function of every frozen test module.

Prints a line for each failure with its traceback, then "N passed, N failed"; exit status 1 when one failed. With
"replay FILE..." as its arguments it plays those transcripts of clients instead, see tests/replay/replay.py; with
"keep MASK" it gives up all capabilities but those, and prints what the kernel refused, and what is left to it and to a
program that it runs, see tests/test_runtime.py; with "full-heap" or "growth" the daemon itself is tried, see
full_heap.py.
`unit_tests` (the names of the modules) is generated when the runtime is built: frozen modules cannot be listed.
"""

import gc
import sys

import replay
from miniigd.compat import keep_capabilities, run_program
from unit_tests import NAMES


def run():
    passed = failed = 0
    for name in NAMES:
        module = __import__(name)
        for attribute in sorted(dir(module)):
            if attribute.startswith("test_"):
                try:
                    getattr(module, attribute)()
                    passed += 1
                except Exception as error:
                    failed += 1
                    sys.stderr.write("FAILED %s.%s\n" % (name, attribute))
                    sys.print_exception(error, sys.stderr)
                gc.collect()
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


def keep(mask):
    print(keep_capabilities(int(mask)))
    with open("/proc/self/status") as file:
        print(file.read())
    print(run_program(["cat", "/proc/self/status"], b"")[1].decode())


if sys.argv[1:2] == ["keep"]:
    sys.exit(keep(sys.argv[2]))
if sys.argv[1:2] == ["replay"]:
    sys.exit(replay.main(sys.argv[2:]))
if sys.argv[1:]:
    import full_heap

    sys.exit(full_heap.main(sys.argv[1:]))
sys.exit(run())
