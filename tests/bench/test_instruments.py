"""The bench's instruments, on made-up input: what they say must be what happened."""

import struct
import sys
import xml.dom.minidom
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import counting  # noqa: E402
import packets  # noqa: E402
import plots  # noqa: E402
import profiling  # noqa: E402
import report  # noqa: E402
import rows  # noqa: E402

CLIENT, ROUTER = (bytes([192, 168, 1, 2]), 40000), (bytes([192, 168, 1, 1]), 5000)
SYN, ACK = 2, 16


def packet(protocol, source, target, header, data=b""):
    """An IPv4 packet as filter-dump writes it: struct virtio_net_hdr_mrg_rxbuf, Ethernet."""
    body = struct.pack(">HH", source[1], target[1]) + header + data
    return bytes(12) + bytes(12) + b"\x08\x00" + struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, protocol,
                                                              0) + source[0] + target[0] + body


def tcp(source, target, flags, data=b""):
    return packet(6, source, target, struct.pack(">IIBBHHH", 0, 0, 0x50, flags, 0, 0, 0), data)


def udp(source, target, data=b"?"):
    return packet(17, source, target, struct.pack(">HH", 8 + len(data), 0), data)


def dump(tmp_path, timed, kept=None):
    """A Dump with the (microseconds, packet) of `timed`."""
    data = bytes(24)
    for when, raw in timed:
        data += struct.pack("<IIII", when // 1000000, when % 1000000, len(raw[:kept]), len(raw)) + raw[:kept]
    path = tmp_path / "lan.pcap"
    path.write_bytes(data)
    return packets.Dump(path)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(packets, "_SETTLE", 0)


def exchange(start):
    """SYN, SYN-ACK 1 ms later; the request in two packets 10 and 11 ms later; the answer in two, 5 and 7 ms behind it."""
    return [(start, tcp(CLIENT, ROUTER, SYN)), (start + 1000, tcp(ROUTER, CLIENT, SYN | ACK)),
            (start + 1500, tcp(CLIENT, ROUTER, ACK)), (start + 10000, tcp(CLIENT, ROUTER, ACK, b"POST")),
            (start + 11000, tcp(CLIENT, ROUTER, ACK, b"body")), (start + 16000, tcp(ROUTER, CLIENT, ACK, b"200")),
            (start + 18000, tcp(ROUTER, CLIENT, ACK, b"OK")), (start + 18500, tcp(ROUTER, CLIENT, ACK | 1))]


def test_a_client_waits_for_the_router_and_not_for_itself(tmp_path):
    found = dump(tmp_path, exchange(3000000) + exchange(4000000)).tcp(5000)
    assert [(one.ms, one.is_complete) for one in found] == [(8.0, True), (8.0, True)]


def test_a_cut_off_packet_still_counts_with_its_length(tmp_path):
    assert [one.ms for one in dump(tmp_path, exchange(0), 70).tcp(5000)] == [8.0]


def test_what_was_read_is_not_read_again(tmp_path):
    found = dump(tmp_path, exchange(0))
    assert len(found.tcp(5000)) == 1 and found.tcp(5000) == []


def test_a_refused_connection_is_not_complete(tmp_path):
    found = dump(tmp_path, [(0, tcp(CLIENT, ROUTER, SYN)), (100, tcp(ROUTER, CLIENT, 4 | ACK))]).tcp(5000)
    assert [one.is_complete for one in found] == [False]


def test_the_first_answer_to_a_datagram_counts(tmp_path):
    group, port = (bytes([239, 255, 255, 250]), 1900), (ROUTER[0], 1900)
    assert dump(tmp_path, [(0, udp(CLIENT, group)), (3000, udp(port, CLIENT)), (9000, udp(port, CLIENT)),
                           (20000, udp(CLIENT, port)), (24000, udp(port, CLIENT))]).udp(1900) == [3.0, 4.0]


def test_a_start_is_from_the_mark_to_the_end_of_the_first_answer(tmp_path):
    mark = [(0, udp(ROUTER, (CLIENT[0], 4003))), (50000, udp(ROUTER, (CLIENT[0], 4003)))]
    assert dump(tmp_path, mark + exchange(60000)).since_mark(4003, 5000) == 28.0
    assert dump(tmp_path, mark).since_mark(4003, 5000) is None


def test_percentiles():
    assert rows.percentile([5, 1, 3], 50) == 3
    assert rows.percentile(list(range(1, 101)), 95) == 95
    assert rows.percentile([7], 95) == 7


def table(*entries):
    """The probe's table, with ticks of 10 ns."""
    return struct.pack("<IIQQQQ", len(entries), 64, 1000, 10000, 3, 200000) + b"".join(
        struct.pack("<48sIIQ", name, calls, allocated, ticks) for name, calls, allocated, ticks in entries)


def test_a_profile_is_the_difference_of_two_tables():
    before = profiling.Snapshot(table((b"(poll)", 1, 0, 0), (b"net.close", 1, 16, 100000), (b"net.close", 1, 0, 0)))
    after = profiling.Snapshot(table((b"(poll)", 9, 0, 9000000), (b"net.close", 5, 48, 500000), (b"net.close", 3, 0, 200000)))
    profile = profiling.Profile(before, after, 2, 3.5)
    assert [(*row[:3], round(row[3], 9)) for row in profile.rows] == [("(poll)", 4, 0, 45.0), ("net.close", 2, 16, 2.0), ("net.close'", 1, 0, 1.0)]
    assert round(profile.sum_ms, 9) == 3 and after.collections == 3 and round(after.longest_collection_ms, 9) == 2


def test_instructions_belong_to_the_function_before_them(tmp_path):
    path = tmp_path / "map"
    path.write_text(" .text.gone     0x00000000       0x10 a.o\n .text.main     0x00400100       0x80 a.o\n"
                    " .text.gc_alloc\n                0x00400180       0x40 gc.o\n")
    before = [0] * 200
    after = list(before)
    after[3 + 0x100 // 4], after[3 + 0x17c // 4], after[3 + 0x184 // 4] = 5, 6, 20
    assert counting.by_function(before, after, path) == [(20, "gc_alloc"), (11, "main")]


def test_plots_are_xml():
    line = plots.lines("a < b & c", "x", "y", [("miniigd", "m & m", [(10, 0.5), (1000, 70)]), ("floor", "f", [(10, 3)])])
    bar = plots.bars("flash", "bytes", [("miniigd", "a", [(100, "x"), (20, "y")]), ("miniupnpd-nft", "b", [(60, "<")])])
    for svg in line, bar:
        xml.dom.minidom.parseString(svg)
    assert line.count("<circle") == 3 and bar.count("<rect") == 4


def summary(cpu):
    return dict.fromkeys(("cpu_mean", "cpu_median", "cpu_p95", "wait_mean", "wait_median", "wait_p95"), cpu)


def test_a_report_keeps_the_prose_and_has_every_figure(tmp_path):
    one = {"title": "t", "memory": {"0": {"VmRSS": 476}, "10": {"VmRSS": 480}}, "idle_wake_ups": 0.0,
           "starts": [{"ms": 90, "cpu": 80}, {"ms": 33, "cpu": 30}],
           "rows": {"add@0-10": summary(2.5), "ext@0": summary(1.25), "delete@10": summary(3)}}
    other = dict(one, rows={"add@0-10": summary(10)}, memory={"0": {"VmRSS": 1660}})
    data = {"most": 10, "daemons": {"miniigd": one, "miniupnpd-nft": other}, "floor": {
        "echo": summary(0.5), "netlink": {"10": 0.75}}, "flash": {
            name: {"program": 100, "all": 120, "libraries": []} for name in report._NAMES}}
    (tmp_path / "performance.md").write_text("before\n<!-- begin comparison -->\nold\n<!-- end comparison -->\nbehind\n"
                                             "<!-- begin memory -->\n<!-- end memory -->\n<!-- begin other -->\n"
                                             "<!-- end other -->\n<!-- begin growth -->\n<!-- end growth -->\n"
                                             "<!-- begin profile -->\n<!-- end profile -->\n")
    report.write(data, tmp_path)
    text = (tmp_path / "performance.md").read_text()
    assert text.startswith("before\n<!-- begin comparison -->\n| ms |") and "<!-- end comparison -->\nbehind\n" in text
    assert "old" not in text
    assert "| AddPortMapping 0 to 10, CPU, mean | 2.50 | 10.0 | - | 4 | - | 1.25 |" in text
    assert "| Start: exec to the end of the first answer, median | 33.0 | 33.0 | - | 1 | - | - |" in text
    assert "| 0 | VmRSS | 476 | 1660 | - |" in text
    assert {path.name for path in tmp_path.glob("*.svg")} == {"performance-add.svg", "performance-memory.svg",
                                                              "performance-flash.svg"}
    first = text
    report.write(data, tmp_path)
    assert (tmp_path / "performance.md").read_text() == first
