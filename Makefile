# miniigd: `make run` shows it working, `make test` tests everything. Each verb is a task of tasks.py.

MODEL ?= debian
ARCH ?= mipsel_mips32
SECONDS ?= 300
SEED ?= 0
MOST ?= 1000

.PHONY: run test fuzz soak bench lint ipk feed overlay flash-report image shell-lan shell-wan shell-router clean setup

run image: setup
	@.venv/bin/python -m invoke $@ --model $(MODEL)

ipk feed overlay: setup
	@.venv/bin/python -m invoke $@ --arch $(ARCH)

fuzz: setup
	@.venv/bin/python -m invoke $@ --seconds $(SECONDS)

soak: setup
	@.venv/bin/python -m invoke $@ --model $(MODEL) --seconds $(SECONDS) --seed $(SEED)

bench: setup
	@.venv/bin/python -m invoke $@ --most $(MOST)

test lint flash-report shell-lan shell-wan shell-router clean: setup
	@.venv/bin/python -m invoke $@

# Debian packages and .venv; does nothing where nothing is missing.
setup:
	@sh package/setup/setup.sh "$(CURDIR)"
