"""What several unit tests share.

Catch an exception, damage an input, see what is logged, set the clock, stand in for files, decode netlink.
"""

import io
import socket
import struct

from miniigd import loop as loop_module
from miniigd.compat import IP_MULTICAST_IF
from miniigd.netlink import attributes, messages


def raised(kind, function, *arguments):
    """Call the function; return the exception of `kind` that it raises."""
    try:
        function(*arguments)
    except kind as error:
        return error
    raise AssertionError("nothing was raised")


def damaged(data):
    """Yield `data` (bytes) cut at every place, and with every byte changed to some that matter to parsers."""
    for position in range(len(data)):
        yield data[:position]
        for byte in b"\0\n <>&/:;\"\x80\xff":
            yield data[:position] + bytes([byte]) + data[position + 1:]


def lacks_multicast():
    """True under qemu's user mode: multicast sockets cannot be tested there, it does not know their options."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(0, IP_MULTICAST_IF, b"\x7f\0\0\1")
        return False
    except OSError:
        return True
    finally:
        sock.close()


class Output:
    """Stands in for `sys` in a module: `with Output(log) as output: ...`, then output.text() is what was written."""

    def __init__(self, module):
        self._module = module
        self.stdout = self.stderr = io.StringIO()

    def text(self):
        return self.stdout.getvalue()

    def __enter__(self):
        self._real = self._module.sys
        self._module.sys = self
        return self

    def __exit__(self, kind, value, traceback):
        self._module.sys = self._real


class Clock:
    """Stands in for the clock of loops that are made meanwhile: `with Clock() as clock: ... clock.ms += 250`."""

    def __init__(self):
        self.ms = 5000000

    def _monotonic_ms(self):
        return self.ms

    def __enter__(self):
        self._real = loop_module.monotonic_ms
        loop_module.monotonic_ms = self._monotonic_ms
        return self

    def __exit__(self, kind, value, traceback):
        loop_module.monotonic_ms = self._real


class Files:
    """Stands in for `open` in a module: every file holds `data` (bytes), or cannot be opened when that is None."""

    def __init__(self, module, data):
        self._module = module
        self._data = data

    def __enter__(self):
        self._module.open = self._open
        return self

    def __exit__(self, kind, value, traceback):
        self._module.open = open

    def _open(self, path):
        if self._data is None:
            raise OSError(2, path)
        return _File(self._data)


class _File:
    def __init__(self, data):
        self._data = data

    def read(self):
        return self._data.decode()  # ValueError where the real one raises it

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        pass


def values(data):
    """Return the [(type, value)] of a row of netlink attributes."""
    return [(kind, bytes(data[start:end])) for kind, start, end in attributes(data, 0, len(data))]


def nft_messages(data):
    """Return the [(type, flags, sequence, family header, attributes by type)] of a row of nf_tables messages."""
    found = []
    for kind, sequence, start, end in messages(data):
        flags = struct.unpack_from("@H", data, start - 10)[0]
        found.append((kind, flags, sequence, bytes(data[start:start + 4]), dict(values(data[start + 4:end]))))
    return found


def nft_expressions(data):
    """Return the [(name, attributes by type)] of a rule's list of expressions."""
    return [(one[1], dict(values(one[2]))) for one in [dict(values(value)) for _, value in values(data)]]
