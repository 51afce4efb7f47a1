"""A short soak, always the same steps: see tests/soak/soak.py, which `make soak` runs for as long as one likes."""

import sys
from pathlib import Path

import pytest

from package import kit
from test_daemon import wait_until_serving

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "soak"))

import soak  # noqa: E402

SEED, SECONDS = 20, 40
HARM_EVERY = 25  # operations: a busy machine does some ten a second


@pytest.mark.parametrize("lab", ["debian"], indirect=True)
def test_everything_agrees_behind_a_short_soak(client):
    path = kit.BUILD / "soak-test.log"
    try:
        with open(path, "w", buffering=1) as log:
            world, report = soak.soak(client, SEED, SECONDS, log, HARM_EVERY)
            log.write(report + "\n")
        assert not world.disagreements, "%s\n(every step is in %s)" % (report, path)
        assert world.load.done > 50 and world.harm.counts and world.audit.opened + world.audit.refused, report
    finally:
        wait_until_serving(client)
