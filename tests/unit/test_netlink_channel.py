"""miniigd.netlink_channel: the real kernel, with a loop turned by hand."""

import errno
import socket
import struct

from helpers import Clock, raised, turn
from miniigd import netlink
from miniigd.errors import FirewallError
from miniigd.loop import Loop
from miniigd.netlink_channel import NetlinkChannel


def _getlink(name, sequence=1):
    message = netlink.Message()
    message.begin(18, netlink.REQUEST, sequence)
    message.add(struct.pack("@BBHiII", 0, 0, 0, 0, 0, 0))
    message.attribute(3, name + b"\0")
    message.end()
    return message.data


def test_the_kernel_answers():
    for is_brief in (False, True):
        channel, kept = NetlinkChannel(0, is_brief=is_brief), []
        for sequence in (1, 2, 3):
            kept += channel.transact(_getlink(b"lo", sequence), lambda datagram: True)
        assert [netlink.messages(answer)[0][:2] for answer in kept] == [(16, 1), (16, 2), (16, 3)]
        answer = channel.transact(_getlink(b"gone0"), lambda datagram: True)[0]
        kind, _, start, _ = netlink.messages(answer)[0]
        assert (kind, netlink.error_of(answer, start)) == (netlink.ERROR, errno.ENODEV)
        channel.close()


def test_what_is_left_of_an_earlier_conversation_is_no_answer():
    channel = NetlinkChannel(0)

    def break_off(datagram):
        raise KeyError(datagram)

    raised(KeyError, channel.transact, _getlink(b"lo", 6) + _getlink(b"lo", 7), break_off)  # the second answer is left
    answers = channel.transact(_getlink(b"lo", 8), lambda datagram: True)
    assert [netlink.messages(answer)[0][1] for answer in answers] == [8]
    channel.close()


def test_a_kernel_that_says_nothing_is_a_firewall_error():
    channel = NetlinkChannel(0)
    error = raised(FirewallError, channel.transact, _getlink(b"lo"), lambda datagram: False)
    assert error.args[1] == errno.EAGAIN
    assert "no answer" in error.args[0]
    channel.close()


def test_a_netlink_socket_that_cannot_be_had_is_a_firewall_error():
    raised(FirewallError, NetlinkChannel, 31)  # no such protocol


def test_reports_are_listened_to():
    # A netlink socket hears what it asks for itself: enough to see that reports arrive.
    loop, channel, heard = Loop(), NetlinkChannel(0), []
    channel.listen(loop, heard.append)
    turn(loop)
    assert heard == []
    channel._sock.send(_getlink(b"lo"))
    turn(loop)
    assert len(heard) == 1 and netlink.messages(heard[0])[0][0] == 16
    loop.unregister(channel._sock)
    channel.close()


class _Overrun:
    """A socket whose buffer was too small."""

    def __init__(self, sock, number):
        self._sock, self._number = sock, number

    def fileno(self):
        return self._sock.fileno()

    def recv(self, size):
        self._sock.recv(size)
        raise OSError(self._number, "of this test")


def test_lost_reports_are_told():
    for number, expected in ((errno.ENOBUFS, [None]), (errno.EAGAIN, [])):
        loop, channel, heard = Loop(), NetlinkChannel(0), []
        real, channel._sock = channel._sock, _Overrun(channel._sock, number)
        channel.listen(loop, heard.append)
        real.send(_getlink(b"lo"))
        turn(loop)
        assert heard == expected
        real.close()



def test_reports_of_another_channel_s_changes_are_left_out():
    # The kernel's answers name who asked, as its reports do.
    loop, channel, other = Loop(), NetlinkChannel(0), NetlinkChannel(0)
    channel.ignore(other)
    assert len(channel.transact(_getlink(b"lo"), lambda datagram: True)) == 1
    channel.ignore(channel)
    assert raised(FirewallError, channel.transact, _getlink(b"lo"), lambda datagram: True).args[1] == errno.EAGAIN
    channel.close()
    other.close()


def test_a_row_of_reports_is_noticed_once_and_after_a_while():
    with Clock() as clock:
        loop, channel, noticed = Loop(), NetlinkChannel(0), []
        channel.watch(loop, 500, lambda: noticed.append(clock.ms))
        turn(loop)
        assert noticed == []
        for count in (1, 2):
            for _ in range(20):
                channel._sock.send(_getlink(b"lo"))
                turn(loop)
            assert len(noticed) == count - 1
            clock.ms += 499
            turn(loop)
            assert len(noticed) == count - 1
            clock.ms += 1
            turn(loop)
            assert len(noticed) == count
            clock.ms += 5000
            turn(loop)
            assert len(noticed) == count
        loop.unregister(channel._sock)
        channel.close()


def test_answers_are_taken_one_by_one():
    channel, taken = NetlinkChannel(0), []
    channel.converse(_getlink(b"lo", 3) + _getlink(b"lo", 4), lambda datagram: netlink.messages(datagram)[0][1] == 4,
                     taken.append)
    assert [netlink.messages(datagram)[0][1] for datagram in taken] == [3, 4]
    channel.close()
