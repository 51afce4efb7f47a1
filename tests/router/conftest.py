"""The emulated router for every test in this folder: booted once for each model, shared by all of its tests.

A test leaves the router as it found it: packages removed, services stopped, the firewall reloaded.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from package import kit  # noqa: E402
from qemu import image  # noqa: E402
from qemu.lab import Lab, check_preconditions  # noqa: E402


@pytest.fixture(scope="session", params=image.MODELS)
def lab(request):
    """A running Lab: `lab.router`, `lab.lan`, `lab.wan`."""
    try:
        check_preconditions()
    except kit.Stop as stop:
        pytest.fail(str(stop), pytrace=False)  # a router test that did not run has not passed
    with Lab(request.param) as lab:
        yield lab
