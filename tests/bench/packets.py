"""What QEMU recorded of the router's LAN card, in the router's own time: how long a client had to wait for the router.

QEMU's filter-dump writes a pcap file whose times are the guest's virtual clock. So the times here are as repeatable as
the instructions are, whatever else the host does, and recording costs the router nothing.

    dump = Dump(path)
    for exchange in dump.tcp(5000): exchange.ms    # of what was recorded since the last call
"""

import struct
import time

_SETTLE = 0.3  # seconds of the host: QEMU hands over the last packets
_VNET = 12  # bytes before each frame, once the router's driver is up (struct virtio_net_hdr_mrg_rxbuf)
_TCP, _UDP = 6, 17


class Exchange:
    """One TCP connection with one request, in microseconds of the router's clock (None: did not happen)."""

    def __init__(self, start):
        self.start = start
        self.accepted = self.asked = self.answered = None

    @property
    def is_complete(self):
        return None not in (self.accepted, self.asked, self.answered)

    @property
    def ms(self):
        """Milliseconds that the client waits for the router: for SYN-ACK, and from the request's end to the answer's."""
        return (self.accepted - self.start + self.answered - self.asked) / 1000


class Dump:
    """The file that filter-dump writes, read piece by piece."""

    def __init__(self, path):
        self._path, self._offset = path, 24  # behind the file's header

    def _packets(self):
        """Yield (microseconds, IPv4 packet) of what is new."""
        time.sleep(_SETTLE)
        with open(self._path, "rb") as file:
            file.seek(self._offset)
            data = file.read()
        start = 0
        while start + 16 <= len(data):
            seconds, micros, kept, _ = struct.unpack_from("<IIII", data, start)
            frame = start + 16 + _VNET
            start += 16 + kept
            if start > len(data):
                break
            self._offset += 16 + kept
            if data[frame + 12:frame + 14] == b"\x08\x00":
                yield seconds * 1000000 + micros, data[frame + 14:start]

    def _transport(self):
        """Yield (microseconds, protocol, source and target as (address, port), transport header, length of all that)."""
        for when, packet in self._packets():
            begin = (packet[0] & 15) * 4
            length = struct.unpack_from(">H", packet, 2)[0] - begin
            source_port, port = struct.unpack_from(">HH", packet, begin)
            yield when, packet[9], (packet[12:16], source_port), (packet[16:20], port), packet[begin:], length

    def skip(self):
        """Forget what was recorded so far."""
        for _ in self._packets():
            pass

    def tcp(self, server_port):
        """Return the Exchanges with that port of the router, in the order of their beginning."""
        exchanges, current = [], {}
        for when, protocol, source, target, header, length in self._transport():
            if protocol != _TCP:
                continue
            is_opening, data = header[13] & 2, length - (header[12] >> 4) * 4
            if target[1] == server_port:
                exchange = current.get(source)
                if is_opening and (exchange is None or exchange.accepted is not None):  # else it is sent once more
                    exchange = current[source] = Exchange(when)
                    exchanges.append(exchange)
                elif data > 0 and exchange is not None and exchange.answered is None:
                    exchange.asked = when
            elif source[1] == server_port and target in current:
                if is_opening and current[target].accepted is None:
                    current[target].accepted = when
                elif data > 0:
                    current[target].answered = when
        return exchanges

    def udp(self, server_port):
        """Return the milliseconds between each datagram to that port and the first answer to its sender."""
        waits, asked = [], {}
        for when, protocol, source, target, _, _ in self._transport():
            if protocol == _UDP and target[1] == server_port:
                asked[source] = when
            elif protocol == _UDP and target in asked:
                waits.append((when - asked.pop(target)) / 1000)
        return waits

    def since_mark(self, mark_port, server_port):
        """Return the ms from the last datagram to `mark_port` to the end of the first answer from `server_port`, or None.

        That is the last packet with data of the first connection that was answered.
        """
        mark = client = end = None
        for when, protocol, source, target, header, length in self._transport():
            if protocol == _UDP and target[1] == mark_port:
                mark, client, end = when, None, None
            elif protocol == _TCP and source[1] == server_port and mark is not None:
                if length > (header[12] >> 4) * 4 and client in (None, target):
                    client, end = target, when
        return None if end is None else (end - mark) / 1000
