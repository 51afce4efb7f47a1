"""The one place that knows there are two Pythons: CPython, and the router's lean MicroPython.

Offers the same few functions on both: constants, the clock, signals as a readable descriptor, socket addresses,
netlink sockets, other programs. Everything else in the daemon is plain Python that runs unchanged on either.
"""

import socket
import struct
import sys

from .addresses import host_text, ip4_bytes, ip6_bytes, ip6_text

if sys.implementation.name == "micropython":
    import host
else:
    host = None

AF_UNIX = 1
AF_NETLINK = 16
SO_BINDTODEVICE = 25
IP_MULTICAST_IF = 32
IP_MULTICAST_TTL = 33
IP_MULTICAST_LOOP = 34
IP_ADD_MEMBERSHIP = 35
IP_DROP_MEMBERSHIP = 36
AF_INET6 = 10
IPPROTO_IPV6 = 41
IPV6_MULTICAST_IF = 17
IPV6_MULTICAST_HOPS = 18
IPV6_MULTICAST_LOOP = 19
IPV6_JOIN_GROUP = 20
IPV6_LEAVE_GROUP = 21
IPV6_V6ONLY = 26
MOST_OUTPUT = 16384  # bytes of a program's output that run_program returns; the C module `host` has the same number
_XTABLES_GET_INFO = 64
_IPPROTO_RAW = 255
MSG_MORE = 0x8000
SOCK_CLOEXEC = 0o2000000  # the same on every architecture Linux runs on, unlike most of its neighbours

if host:

    def const(value):
        """Return `value`; the cross compiler folds the call away."""
        return value

    monotonic_ms = host.monotonic_ms
    wall_seconds = host.wall_seconds
    rename = host.rename
    file_mark = host.file_mark
    remove = host.remove
    chmod = host.chmod
    create = host.create
    keep_capabilities = host.keep_capabilities
    SIGHUP, SIGINT, SIGTERM, SIGUSR1 = host.SIGHUP, host.SIGINT, host.SIGTERM, host.SIGUSR1
    SO_RCVBUF, SO_SNDBUF = host.SO_RCVBUF, host.SO_SNDBUF
    signal_fd = host.signal_fd
    read_signal = host.read_signal

    _INET, _ZEROS = struct.pack("@H", socket.AF_INET), bytes(8)

    def address(ip, port):
        """Return what a socket's bind, connect and sendto take for the address `ip` (either family) and `port`."""
        if ":" in ip:
            return struct.pack("@H", AF_INET6) + struct.pack(">HI", port, 0) + ip6_bytes(ip) + bytes(4)
        return _INET + struct.pack(">H", port) + ip4_bytes(ip) + _ZEROS

    def receive_into(sock, buffer):
        """Receive into a bytearray; return how many bytes came, 0 at the end of the connection; OSError EAGAIN."""
        return host.receive_into(sock.fileno(), buffer)

    def split_address(raw):
        """Return (ip, port) of what a socket's accept and recvfrom gave; the scope of an IPv6 address is left out."""
        return ip6_text(raw[8:24]) if len(raw) >= 28 else host_text(bytes(raw[4:8])), raw[2] << 8 | raw[3]

    def local_address(path):
        """Return what a local (AF_UNIX) socket's bind and connect take for a path."""
        return struct.pack("@H", AF_UNIX) + path.encode() + b"\0"

    def _accept_local(listener):
        sock = socket.socket(AF_UNIX, socket.SOCK_STREAM | SOCK_CLOEXEC)
        try:
            return sock, host.accept(listener.fileno(), sock.fileno())
        except OSError:
            sock.close()
            raise

    def _netlink_address(groups):
        return struct.pack("@HHII", AF_NETLINK, 0, 0, groups)

    def shutdown(sock, how):
        """Shut down reading (0), writing (1) or both (2)."""
        host.shutdown(sock.fileno(), how)

    def ignore_sender(sock, other):
        """Let a netlink socket hear no reports of what the netlink socket `other` changed."""
        host.ignore_sender(sock.fileno(), other.fileno())

    def select_ms(selector, timeout_ms):
        """Wait up to `timeout_ms` (None: for ever); return the selector's list of (key, events)."""
        return selector.select_ms(timeout_ms)

    run_program = host.run
    _getsockopt = host.getsockopt
    print_exception = sys.print_exception

else:
    import ctypes
    import errno
    import os
    import signal
    import stat
    import subprocess
    import time
    import traceback
    from os import chmod, remove
    from os import replace as rename  # put a file in the place of another, as a whole
    from signal import SIGHUP, SIGINT, SIGTERM, SIGUSR1
    from socket import SO_RCVBUF, SO_SNDBUF

    _SO_ATTACH_FILTER = 26
    _PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 23, 24, 38
    _CAPABILITY_VERSION = 0x20080522
    _signal_pipe = None

    def const(value):
        """Return `value`; the cross compiler folds the call away."""
        return value

    def monotonic_ms():
        """Return milliseconds on a clock that never jumps and never wraps."""
        return time.monotonic_ns() // 1000000

    def wall_seconds():
        """Return the seconds since 1970 on the clock that people read: wrong until somebody sets it, and it jumps."""
        return int(time.time())

    def file_mark(path):
        """Return what tells a file from a later one: (inode, bytes, second of its last change); None: no file.

        A link, or a file that somebody else made or linked there, is as good as none.
        """
        try:
            found = os.lstat(path)
        except OSError:
            return None
        if stat.S_ISLNK(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink != 1:
            return None
        return found.st_ino, found.st_size, int(found.st_mtime)

    def create(path):
        """Make an empty file that nobody else may read or write, in the place of whatever is there; OSError.

        No link is followed, so that a folder in which others may write is no danger.
        """
        try:
            os.unlink(path)
        except OSError:
            pass  # there is none, or open says what is wrong
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # an umask can only take more away

    def keep_capabilities(mask):
        """Give up all capabilities(7) but those of a bit mask, for good, and for the programs that we run.

        Return what the kernel refused: 1 our own sets, 2 the bounding set, 4 no_new_privs.
        """
        libc = ctypes.CDLL(None)
        refused, one, bound = 0, 0, libc.prctl(_PR_CAPBSET_READ, 0, 0, 0, 0)
        if bound < 0:
            refused = 2
        while bound >= 0:
            if bound and not mask >> one & 1 and libc.prctl(_PR_CAPBSET_DROP, one, 0, 0, 0) < 0:
                refused = 2
            one += 1
            bound = libc.prctl(_PR_CAPBSET_READ, one, 0, 0, 0)
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
        sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then the same of capabilities from 32
        if libc.capget(header, sets) < 0:
            libc.capget(header, sets)  # an older kernel has written the version that it knows
        kept = sets[1] & mask
        if libc.capset(header, (ctypes.c_uint32 * 6)(kept, kept)) < 0:
            refused |= 1
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0:
            refused |= 4
        return refused

    def signal_fd():
        """Return a descriptor that is readable once SIGTERM, SIGINT, SIGHUP or SIGUSR1 came."""
        global _signal_pipe
        if _signal_pipe is None:
            _signal_pipe = os.pipe()
            for fd in _signal_pipe:
                os.set_blocking(fd, False)
            signal.set_wakeup_fd(_signal_pipe[1], warn_on_full_buffer=False)
            for number in (SIGHUP, SIGINT, SIGTERM, SIGUSR1):
                signal.signal(number, lambda number, frame: None)
        return _signal_pipe[0]

    def read_signal():
        """Return the number of the next signal that came, 0 for none."""
        try:
            return os.read(_signal_pipe[0], 1)[0]
        except BlockingIOError:
            return 0

    def address(ip, port):
        """Return what a socket's bind, connect and sendto take for the address `ip` (either family) and `port`."""
        return (ip, port)

    def receive_into(sock, buffer):
        """Receive into a bytearray; return how many bytes came, 0 at the end of the connection; OSError EAGAIN."""
        return sock.recv_into(buffer)

    def split_address(raw):
        """Return (ip, port) of what a socket's accept and recvfrom gave; the scope of an IPv6 address is left out."""
        return raw[:2]

    def local_address(path):
        """Return what a local (AF_UNIX) socket's bind and connect take for a path."""
        return path

    def _accept_local(listener):
        sock = listener.accept()[0]
        return sock, struct.unpack("@iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]

    def _netlink_address(groups):
        return (0, groups)

    def shutdown(sock, how):
        """Shut down reading (0), writing (1) or both (2)."""
        sock.shutdown(how)

    def ignore_sender(sock, other):
        """Let a netlink socket hear no reports of what the netlink socket `other` changed."""
        # struct sock_filter: load the sender of the message (network order), drop it if it is the other, else keep it.
        sender = struct.unpack(">I", struct.pack("@I", other.getsockname()[0]))[0]
        code = b"".join([struct.pack("@HBBI", *one) for one in (
            (0x20, 0, 0, 12), (0x15, 0, 1, sender), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))])
        buffer = ctypes.create_string_buffer(code, len(code))
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", 4, ctypes.addressof(buffer)))

    def select_ms(selector, timeout_ms):
        """Wait up to `timeout_ms` (None: for ever); return the selector's list of (key, events)."""
        return selector.select(None if timeout_ms is None else timeout_ms / 1000)

    def run_program(argv, input):
        """Run a program, without any shell; return (exit status, the first MOST_OUTPUT bytes that it printed).

        It gets `input` (bytes) and no signal dispositions or descriptors of ours, and has ten seconds: nobody is
        served meanwhile. The status is 128 and the signal's number where one ended it, 127 where it cannot be started.
        """
        try:
            done = subprocess.run(argv, input=input, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10)
        except subprocess.TimeoutExpired as error:
            return 128 + signal.SIGKILL, (error.output or b"")[:MOST_OUTPUT]
        except OSError:
            return 127, b""
        return done.returncode if done.returncode >= 0 else 128 - done.returncode, done.stdout[:MOST_OUTPUT]

    def _getsockopt(fd, level, option, buffer):
        """Let the kernel read and fill `buffer` (a bytearray); CPython's own getsockopt shows the kernel nothing."""
        try:
            import ctypes
        except ImportError:  # a package of its own on some routers
            raise OSError(errno.ENOPROTOOPT, "no ctypes")
        length = ctypes.c_uint(len(buffer))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.getsockopt(fd, level, option, (ctypes.c_char * len(buffer)).from_buffer(buffer), ctypes.byref(length)):
            raise OSError(ctypes.get_errno(), "getsockopt")

    def print_exception(error, file):
        """Write the traceback of `error` to `file`."""
        traceback.print_exception(type(error), error, error.__traceback__, file=file)


def accept_local(listener):
    """Take a connection of a local (AF_UNIX) listener: (non-blocking socket, user id of who made it); OSError."""
    sock, uid = _accept_local(listener)
    sock.setblocking(False)
    return sock, uid


def netlink_socket(protocol, groups):
    """Return a non-blocking netlink socket for `protocol` that hears the multicast `groups` (a bit mask)."""
    sock = socket.socket(AF_NETLINK, socket.SOCK_RAW | SOCK_CLOEXEC, protocol)
    sock.bind(_netlink_address(groups))
    sock.setblocking(False)
    return sock


def xtables_info(table):
    """Return what the kernel tells of an iptables table in one call: its hooks, entries and size (bytes).

    Another answer than before means that somebody changed the table. None where the kernel cannot be asked.
    """
    return _xtables_info(table, socket.AF_INET, 0)


def xtables6_info(table):
    """Return the same of an ip6tables table."""
    return _xtables_info(table, AF_INET6, IPPROTO_IPV6)


def _xtables_info(table, family, level):
    try:
        sock = socket.socket(family, socket.SOCK_RAW | SOCK_CLOEXEC, _IPPROTO_RAW)
    except OSError:
        return None
    data = bytearray(84)  # struct ipt_getinfo; the name comes first, in 32 bytes
    data[:len(table)] = table.encode()
    try:
        _getsockopt(sock.fileno(), level, _XTABLES_GET_INFO, data)
        return bytes(data[32:])
    except OSError:
        return None
    finally:
        sock.close()


def random_bytes(count):
    """Return bytes that nobody can guess; OSError."""
    with open("/dev/urandom", "rb") as file:
        return file.read(count)
