# The modules that the lean runtime carries, as bytecode: the shims of the standard library and the daemon.
# ruff: noqa: F821 - these names are given by MicroPython's manifest reader
freeze("stdlib", opt=3)
freeze("$(BUILD_DIR)/src", opt=3)
