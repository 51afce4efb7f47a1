# The runtime with the parsers' fuzz targets as its program.
# ruff: noqa: F821 - these names are given by MicroPython's manifest reader
include("../../package/micropython-lean/manifest.py")
freeze(".", ("run_fuzz.py", "targets.py"))
freeze("../unit", "helpers.py")
freeze("../replay", "replay.py")
