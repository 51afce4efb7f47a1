# The runtime's own test program: everything the product carries, the unit tests, and the player of transcripts.
# ruff: noqa: F821 - these names are given by MicroPython's manifest reader
include("../../package/micropython-lean/manifest.py")
freeze(".", "run_unit_tests.py")
freeze(".", "full_heap.py")
freeze("../unit")
freeze("../replay", "replay.py")
freeze("$(BUILD_DIR)/frozen")
