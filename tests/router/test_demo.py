"""The demonstration of `make run`, step by step, on both models: the package, a client, and real packets."""

import pytest

from package import ipk
from qemu.demo import Demonstration

NAMES = [step.__name__ for step in Demonstration(None, None).steps]


@pytest.fixture(scope="module")
def demonstration(lab):
    """The demonstration on this model's router; the package is removed at the end."""
    shown = Demonstration(lab, ipk.ipk())
    yield shown
    shown.close()
    lab.router.check("opkg remove miniigd", timeout=60)


@pytest.mark.parametrize("name", NAMES)
def test_step(demonstration, name):
    assert getattr(demonstration, name)(), "a step shows something"
