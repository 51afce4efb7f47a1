"""The emulated router for every test in this folder: booted once for each model, shared by all of its tests.

A test leaves the router as it found it: packages removed, services stopped, the firewall reloaded. All the while the
router watches how much memory the daemon takes; the most is printed at the end.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from package import kit  # noqa: E402
from qemu import image  # noqa: E402
from qemu.lab import Lab, Namespace, check_preconditions  # noqa: E402
from test_daemon import Client  # noqa: E402

# Once a second: the largest of each figure so far, and how many process ids had one. VmHWM and VmPeak are the kernel's
# own maxima, so only what a daemon took in its last second may be missed; of RssAnon only what is seen counts.
_SAMPLER = """
hwm=0 anon=0 peak=0 lives=0 last=
while sleep 1; do
    for pid in $(pidof miniigd); do
        while read -r name value unit; do
            case $name in
            VmHWM:) [ "$value" -le $hwm ] || hwm=$value ;;
            RssAnon:) [ "$value" -le $anon ] || anon=$value ;;
            VmPeak:) [ "$value" -le $peak ] || peak=$value ;;
            esac
        done 2>/dev/null </proc/$pid/status
        [ "$pid" = "$last" ] || lives=$((lives + 1)) last=$pid
        echo "$hwm $anon $peak $lives" >/tmp/high-water
    done
done
"""


@pytest.fixture(scope="session", params=image.MODELS)
def lab(request):
    """A running Lab: `lab.router`, `lab.lan`, `lab.guest`, `lab.wan`."""
    try:
        check_preconditions()
    except kit.Stop as stop:
        pytest.fail(str(stop), pytrace=False)  # a router test that did not run has not passed
    with Lab(request.param) as lab:
        lab.router.write("/tmp/sampler", _SAMPLER)
        lab.router.check("start-stop-daemon -S -b -m -p /tmp/sampler.pid -x /bin/sh -- /tmp/sampler")
        yield lab
        lab.router.check("kill $(cat /tmp/sampler.pid)")  # fails where it did not watch to the end
        figures = lab.router.run("cat /tmp/high-water").output.split()
        if len(figures) == 4:
            request.config.high_water.append("%s router: miniigd's largest VmHWM %s kB, RssAnon %s kB, VmPeak %s kB over %s daemon "
                               "lives" % (lab.model, *figures))


@pytest.fixture
def neighbours(lab):
    """Three more hosts of the LAN, {address: Namespace}, each with a link-layer address of its own."""
    spaces = {}
    try:
        for address in "192.168.1.11", "192.168.1.12", "192.168.1.13":
            space = spaces[address] = Namespace("neighbour")
            lab.lan.ip("link", "add", "link", "eth0", "name", "other", "type", "macvlan", "mode", "bridge")
            lab.lan.ip("link", "set", "other", "netns", str(space.pid))
            space.ip("link", "set", "other", "name", "eth0")
            space.ip("address", "add", address + "/24", "dev", "eth0")
            space.ip("link", "set", "eth0", "up")
            space.ip("route", "add", "239.0.0.0/8", "dev", "eth0")
        yield spaces
    finally:
        for space in spaces.values():
            space.close()


@pytest.fixture(scope="module")
def client(lab):
    """The installed and enabled daemon, for each module anew; removed at the end."""
    client = Client(lab)
    client.demo.install()
    client.demo.discover()  # starts the servers of the LAN host
    yield client
    client.demo.close()
    lab.router.check("opkg remove miniigd", timeout=60)
    assert client.running() == []
