"""docs/guide.md: every command that it has people type on the router works there."""

import re
from pathlib import Path

import pytest

from package import kit
from test_daemon import Client, wait_until_serving

COMMANDS = re.findall(r"^ *root@router:~# (.*)$", (Path(kit.TOP) / "docs" / "guide.md").read_text(), re.M)
# what a command needs, and the models that have it
_PLACES = (("nft ", ("debian",)), ("nvram ", ("bare",)), ("iptables", ("wrt", "bare")), ("ip6tables", ("wrt", "bare")))
EMPTY = ("'/limit/p'", "'/limit rate/p'")  # find nothing on a healthy router


@pytest.fixture(scope="module")
def client(lab):
    """The daemon, installed and not switched on by anything but the guide; with a port open."""
    client = Client(lab)
    client.demo.install()
    client.demo._serve_lan_host()
    wait_until_serving(client)
    assert client.add()[0] == 200 and client.is_open()
    yield client
    client.demo.close()
    lab.router.check("opkg remove miniigd; rm -f /etc/config/upnpd*", timeout=60)
    if lab.model == "bare":
        lab.router.check("nvram unset upnp_enable; nvram commit")


@pytest.mark.parametrize("command", dict.fromkeys(COMMANDS))
def test_a_command_of_the_guide_works(client, command):
    for word, models in _PLACES:
        if command.startswith(word) and client.lab.model not in models:
            return  # for another release
    output = client.lab.router.check(command, timeout=60)
    if "restart" in command:
        wait_until_serving(client)
    elif not command.startswith(("sed ", "nvram ")) and not command.endswith(EMPTY):
        assert output
    if command.endswith(("input", "INPUT")):
        assert "upnp" not in output.lower()
    if command.endswith(("upnp_prerouting", "MINIUPNPD", "upnp_open")) and not command.startswith("ip6"):
        assert "8000" in output


def test_the_guide_s_commands_were_found():
    assert len(COMMANDS) > 15
