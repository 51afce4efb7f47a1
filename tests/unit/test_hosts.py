"""miniigd.hosts: addresses of one link-layer address are one host; what nobody knows is not remembered."""

from miniigd.addresses import ip_bytes
from miniigd.hosts import Hosts

MAC, OTHER_MAC = b"\x02\0\0\0\0\1", b"\x02\0\0\0\0\2"
NAME, OTHER_NAME = "02:00:00:00:00:01", "02:00:00:00:00:02"
INDEX = 3


class _Kernel:
    def __init__(self):
        self.known = {}  # (raw, index) -> link-layer address
        self.asked = 0

    def find(self, raw, index):
        self.asked += 1
        return self.known.get((bytes(raw), index))


def test_the_addresses_of_a_host_have_one_name():
    kernel = _Kernel()
    hosts = Hosts(kernel.find)
    for text, mac in (("192.168.1.2", MAC), ("2001:db8::2", MAC), ("fe80::2", MAC), ("192.168.1.3", OTHER_MAC)):
        kernel.known[ip_bytes(text), INDEX] = mac
    kernel.known[ip_bytes("fe80::2"), INDEX + 1] = OTHER_MAC  # means another host on another link
    for _ in range(3):
        assert [hosts.find(text, INDEX) for text in ("192.168.1.2", "2001:db8::2", "fe80::2")] == [NAME] * 3
        assert hosts.find("192.168.1.3", INDEX) == hosts.find("fe80::2", INDEX + 1) == OTHER_NAME
    assert kernel.asked == 5  # each once


def test_what_nobody_knows_is_asked_again():
    kernel = _Kernel()
    hosts = Hosts(kernel.find)
    assert hosts.find("192.168.1.2", INDEX) is None and hosts.name("192.168.1.2", INDEX) == "192.168.1.2"
    kernel.known[ip_bytes("192.168.1.2"), INDEX] = MAC
    assert hosts.find("192.168.1.2", INDEX) == hosts.name("192.168.1.2", INDEX) == NAME


def test_a_host_with_many_addresses_does_not_fill_the_memory():
    kernel = _Kernel()
    hosts = Hosts(kernel.find)
    for number in range(1, 300):
        text = "2001:db8::%x" % number
        kernel.known[ip_bytes(text), INDEX] = MAC
        assert hosts.find(text, INDEX) == NAME and len(hosts._names) <= 64
    for number in range(1, 300):
        assert hosts.find("2001:db8:1::%x" % number, INDEX) is None and len(hosts._names) <= 64


def test_without_a_kernel_each_address_is_a_host():
    assert Hosts().find("192.168.1.2", INDEX) == Hosts().name("192.168.1.2", INDEX) == "192.168.1.2"
