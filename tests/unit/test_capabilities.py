"""miniigd.capabilities: which are kept, by what the router is and how it is set; the kernel is stood in for."""

from helpers import Files, Output
from miniigd import capabilities, log

BIND, ADMIN, RAW = 1 << 10, 1 << 12, 1 << 13
NEW, OLD = b"6.1.55\n", b"5.4.188\n"


def dropped(runs_programs=False, port=5000, release=NEW, refused=0):
    """Return (the mask that the kernel was asked to keep, what the log says)."""
    asked = []
    real = capabilities.keep_capabilities

    def keep(mask):
        asked.append(mask)
        return refused

    capabilities.keep_capabilities = keep
    try:
        with Output(log) as output, Files(capabilities, release):
            capabilities.drop(runs_programs, port)
    finally:
        capabilities.keep_capabilities = real
    assert len(asked) == 1
    return asked[0], output.text()


def test_nftables_needs_one_capability():
    assert dropped() == (ADMIN, "")


def test_iptables_opens_raw_sockets():
    assert dropped(runs_programs=True) == (ADMIN | RAW, "")


def test_a_port_below_1024_is_bound_again_with_each_address():
    assert dropped(port=1023) == (ADMIN | BIND, "")
    assert dropped(port=1024) == (ADMIN, "")


def test_old_kernels_let_nobody_else_bind_to_a_device():
    for release, kept in ((OLD, ADMIN | RAW), (b"5.6.19", ADMIN | RAW), (b"5.7.0", ADMIN), (b"5.10-rc1", ADMIN),
                          (b"6.0", ADMIN), (b"2.4.30", ADMIN | RAW), (b"5.7-rc1+", ADMIN), (b"10.2.1", ADMIN),
                          (b"nonsense", ADMIN | RAW), (b"", ADMIN | RAW), (b"5.x.1", ADMIN | RAW),
                          (None, ADMIN | RAW)):
        assert dropped(release=release)[0] == kept, release


def test_what_the_kernel_does_not_know_is_said_once_and_stops_nothing():
    for refused, words in ((0, ()), (2, ("bounding set",)), (4, ("no_new_privs",)),
                           (6, ("bounding set", "no_new_privs")), (7, ("our own", "bounding set", "no_new_privs"))):
        text = dropped(refused=refused)[1]
        assert text.count("\n") == len(words)
        for word in words:
            assert text.count(word) == 1 and "info: privileges: " in text
