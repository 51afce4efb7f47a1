# The bench's build of the runtime: probe.c stands around the functions that it names.
SRC_USERMOD_C += $(USERMOD_DIR)/probe.c
