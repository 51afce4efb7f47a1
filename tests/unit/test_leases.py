"""miniigd.leases: the file's exact lines, what comes back from it, clocks that jump, and disks that are full."""

from helpers import Output, raised
from miniigd import leases as leases_module
from miniigd import log
from miniigd.compat import file_mark, rename
from miniigd.leases import LeaseFile
from miniigd.mapping import MappingTable, PortMapping

FOLDER = "/tmp/miniigd-test-leases"  # two names in /tmp: the runtime cannot make folders
PATH, CLOCK_PATH = FOLDER + ".leases", FOLDER + ".clock"
WALL = 1798000000


class _Clocks:
    """Stands in for the two clocks: `with _Clocks() as clocks: clocks.wall += 60; clocks.seconds += 60`."""

    def __init__(self, wall=WALL, seconds=1000):
        self.wall, self.seconds = wall, seconds

    def __enter__(self):
        self._real = leases_module.wall_seconds, leases_module.monotonic_ms
        leases_module.wall_seconds = lambda: self.wall
        leases_module.monotonic_ms = lambda: self.seconds * 1000
        return self

    def __exit__(self, kind, value, traceback):
        leases_module.wall_seconds, leases_module.monotonic_ms = self._real

    def pass_by(self, seconds):
        self.wall += seconds
        self.seconds += seconds


def _mapping(port=8000, protocol="TCP", expires=160, lease=60, description="web", remote_host="", enabled=True):
    return PortMapping(remote_host, port, protocol, 8001, "192.168.1.2", enabled, description, lease, expires)


def _put(text, path=PATH):
    with open(path, "w") as file:
        file.write(text)


def _text(path=PATH):
    with open(path) as file:
        return file.read()


def _fresh():
    """Return a LeaseFile where there is no file yet."""
    _put("")
    rename(PATH, FOLDER + ".gone")
    _put("junk", CLOCK_PATH)
    return LeaseFile(PATH, CLOCK_PATH)


def _read(text):
    """Return what comes back from a file, and what is logged."""
    _put(text)
    _put("", CLOCK_PATH)
    with Output(log) as output:
        found = LeaseFile(PATH, CLOCK_PATH).read()
    return found, output.text()


def test_the_file_to_the_byte():
    with _Clocks():
        file = _fresh()
        file.write([_mapping(), _mapping(8002, "UDP", 604900, 0, ""), _mapping(8003, enabled=False),
                    _mapping(65535, remote_host="11.0.0.1", description="Xbox (192.168.1.2:3074) 3074 UDP")], 100, 0)
        assert _text() == (
            "TCP:8000:192.168.1.2:8001:1798000060:web\n"
            "UDP:8002:192.168.1.2:8001:0:\n"
            "TCP:65535:192.168.1.2:8001:1798000060:Xbox (192.168.1.2\uff1a3074) 3074 UDP [from 11.0.0.1]\n")
        for line in _text().split("\n")[:-1]:
            assert len(line.split(":")) == 6


def test_what_was_written_comes_back():
    texts = ("web", "", "a:b::c", ":", "]", "x [from 11.0.0.9]", "[from 1.2.3.4]", "caf\u00e9 \u4e2d", "a [from b]",
             "x [from 11.0.0.9] ", "'\"$(reboot)", "a;b,c=d#e", "PCP MAP 0123456789abcdef01234567")
    with _Clocks() as clocks:
        for remote_host in ("", "11.0.0.1"):
            table = [_mapping(8000 + index, description=text, remote_host=remote_host, lease=3600, expires=3700)
                     for index, text in enumerate(texts)]
            _fresh().write(table, 100, 0)
            clocks.pass_by(60)
            found = LeaseFile(PATH, CLOCK_PATH).read()
            clocks.pass_by(-60)
            assert len(found) == len(table)
            for mapping, lease in zip(table, found):
                assert (lease.protocol, lease.external_port, lease.internal_client, lease.internal_port) == (
                    "TCP", mapping.external_port, "192.168.1.2", 8001)
                assert lease.remote_host == remote_host, mapping.description
                assert lease.description == mapping.description, mapping.description
                assert lease.remaining == 3540


def test_what_is_no_lease_is_left_out():
    good = "TCP:8000:192.168.1.2:8001:1798000060:web\n"
    with _Clocks():
        for bad in ("junk", "TCP:8000:192.168.1.2:8001:1798000060", "SCTP:8000:192.168.1.2:8001:0:x",
                    "tcp:8000:192.168.1.2:8001:0:x", "TCP:0:192.168.1.2:8001:0:x", "TCP:70000:192.168.1.2:8001:0:x",
                    "TCP:8000:192.168.1.2:0:0:x", "TCP:8000:host:8001:0:x", "TCP:8000:192.168.1.2:8001:soon:x",
                    "TCP:8000:192.168.1.2:8001:-1:x", "TCP:8000:192.168.1.2:8001:999999999999:x",
                    "TCP:+80:192.168.1.2:80:0:x",
                    "TCP:8_0:192.168.1.2:80:0:x", "TCP:8000:192.168.1.2:8001:0:x [from here]", ":::::", "x" * 5000,
                    "TCP:8000:192.168.1.2:8001:0:" + "x" * 600, "\0", "TCP:\u0668:192.168.1.2:80:0:x"):
            found, text = _read(bad + "\n" + good + bad)
            assert [lease.external_port for lease in found] == [8000], bad
            assert "2 lines are no leases" in text and text.count("\n") == 1, bad
        found, text = _read(good + "\n\n" + good)  # LuCI would stop at the empty line; nothing is lost here
        assert len(found) == 2 and text == ""
        with open(PATH, "wb") as file:
            file.write(b"TCP:8000:192.168.1.2:8001:0:\xff\xfe\n" + good.encode() + b"TCP:1")
        assert len(LeaseFile(PATH, CLOCK_PATH).read()) == 1


def test_damaged_lines_raise_nothing():
    line = "UDP:8000:192.168.1.2:8001:1798000060:a [from 11.0.0.1]\n"
    with _Clocks():
        for position in range(len(line)):
            for character in ":\0 ]9-\n\u00e9":
                _read(line[:position] + character + line[position + 1:])


def test_no_file_is_no_lease():
    file = _fresh()
    assert file.read() == [] and not file.is_foreign()
    assert LeaseFile("/nowhere/at/all", CLOCK_PATH).read() == []


def test_leases_end_while_nobody_runs():
    with _Clocks() as clocks:
        _fresh().write([_mapping(8000, expires=160), _mapping(8001, expires=700), _mapping(8002, lease=0)], 100, 0)
        clocks.pass_by(60)
        assert [lease.remaining for lease in LeaseFile(PATH, CLOCK_PATH).read()] == [-1, 540, 0]
        clocks.pass_by(1000)
        assert [lease.remaining for lease in LeaseFile(PATH, CLOCK_PATH).read()] == [-1000, -460, 0]


def test_a_wall_clock_that_jumps_changes_no_lease():
    for before, after in ((100, WALL), (WALL, WALL + 86400 * 365), (WALL, 100)):
        with _Clocks(before) as clocks:
            file = _fresh()
            file.write([_mapping(expires=3700, lease=3600)], 100, 0)
            clocks.pass_by(60)
            clocks.wall = after
            # the daemon is killed and comes back after the jump
            assert [lease.remaining for lease in LeaseFile(PATH, CLOCK_PATH).read()] == [3540], before
            # or it lives on: the file follows
            assert file.is_pending and file.wait_ms(10000) == 0
            file.write([_mapping(expires=3700, lease=3600)], 160, 10000)
            assert _text() == "TCP:8000:192.168.1.2:8001:%d:web\n" % (after + 3540)
            assert not file.is_pending
            clocks.pass_by(40)
            assert [lease.remaining for lease in LeaseFile(PATH, CLOCK_PATH).read()] == [3500], before


def test_where_the_clocks_cannot_be_written_the_leases_stay_as_they_were():
    """The wall clock jumped, and there is room for one file and not for the other; then the daemon is killed."""
    with _Clocks(100) as clocks:
        file = _fresh()
        file.write([_mapping()], 100, 0)
        clocks.pass_by(10)
        clocks.wall = WALL  # the time server
        file._clock_path = "/tmp/miniigd-no-such-folder/clock"
        with Output(log) as output:
            file.write([_mapping()], 110, 10000)
        assert "cannot be written" in output.text() and file.is_pending
        (lease,) = LeaseFile(PATH, CLOCK_PATH).read()
        assert lease.remaining == 50
        file._clock_path = CLOCK_PATH
        file.write([_mapping()], 110, 20000)
        assert not file.is_pending
        (lease,) = LeaseFile(PATH, CLOCK_PATH).read()
        assert lease.remaining == 50


def test_after_a_reboot_the_wall_clock_counts_if_it_can_be_right():
    with _Clocks(WALL, 5000) as clocks:
        _fresh().write([_mapping(expires=3700, lease=3600)], 100, 0)
        clocks.seconds = 20  # another start of the machine
        clocks.wall = WALL + 600
        assert [lease.remaining for lease in LeaseFile(PATH, CLOCK_PATH).read()] == [3000]
    written = file_mark(PATH)[2]
    with _Clocks(written, 5000) as clocks:
        _fresh().write([_mapping(expires=3700, lease=3600)], 100, 0)
        written = file_mark(PATH)[2]
        clocks.seconds, clocks.wall = 20, 25  # no battery, no time server yet: nothing is longer than it was
        (lease,) = LeaseFile(PATH, CLOCK_PATH).read()
        assert 3590 <= lease.remaining <= 3610


def test_a_new_mapping_is_a_line_more_at_once():
    with _Clocks():
        file = _fresh()
        file.write([], 100, 0)
        for index in range(3):
            mapping = _mapping(8000 + index)
            file.append(mapping, 100, 0)
            assert not file.is_pending and mapping.is_recorded
        assert [line.split(":")[1] for line in _text().split("\n")[:-1]] == ["8000", "8001", "8002"]
        assert not file.is_foreign()
        file.mark_changed()
        file.append(_mapping(8003), 100, 0)  # something else is not written yet
        assert file.is_pending and _text().count("\n") == 4


def test_a_storm_of_new_mappings_is_written_at_most_every_few_seconds():
    with _Clocks():
        file = _fresh()
        file.write([], 100, 0)
        mappings = [_mapping(8000 + index) for index in range(50)]
        for mapping in mappings:
            file.append(mapping, 100, 100)
        assert _text().count("\n") == 9 and file.is_pending and file.wait_ms(100) == 2000
        assert [mapping.is_recorded for mapping in mappings] == [True] * 9 + [False] * 41
        file.write(mappings, 102, 2100)
        assert _text().count("\n") == 50 and not file.is_pending


def test_what_waits_is_not_put_off_by_what_comes_behind_it():
    """Ten new mappings a second, for half a minute: none is without its line for longer than a pause."""
    with _Clocks():
        file = _fresh()
        file.write([], 100, 0)
        table, waiting, longest = [], {}, 0
        for now_ms in range(0, 30000, 100):
            mapping = _mapping(8000 + len(table))
            table.append(mapping)
            file.append(mapping, 100, now_ms)
            if file.wait_ms(now_ms) == 0:
                file.write(table, 100, now_ms)
            waiting[mapping.external_port] = now_ms
            for one in table:
                if one.is_recorded and one.external_port in waiting:
                    longest = max(longest, now_ms - waiting.pop(one.external_port))
            longest = max([longest] + [now_ms - since_ms for since_ms in waiting.values()])
        assert longest <= 2100


def test_a_line_is_not_put_behind_what_somebody_else_wrote():
    with _Clocks():
        file = _fresh()
        mapping = _mapping()
        file.append(mapping, 100, 0)  # nothing was written yet
        assert file.is_pending and not mapping.is_recorded
        file.write([_mapping()], 100, 0)
        assert not file.is_pending
        _put("TCP:1:2\n", FOLDER + ".other")
        rename(FOLDER + ".other", PATH)
        assert file.is_foreign()
        file.append(_mapping(8001), 100, 0)
        assert file.is_pending and _text() == "TCP:1:2\n"
        with Output(log):
            file.read()
        file.write([_mapping(), _mapping(8001)], 100, 5000)
        assert not file.is_foreign() and _text().count("\n") == 2
        rename(PATH, FOLDER + ".gone")
        assert file.is_foreign()


def test_what_somebody_edits_while_it_is_written_is_not_replaced():
    with _Clocks():
        file = _fresh()
        file.write([_mapping(8000), _mapping(8001)], 100, 0)

        class Edited:
            mappings = [_mapping(8000), _mapping(8001), _mapping(8002)]

            def __iter__(self):
                _put(_text().split("\n")[1] + "\n")  # the first line is taken out
                return iter(self.mappings)

        edited = Edited()
        file.write(edited, 100, 5000)
        assert _text().startswith("TCP:8001:") and _text().count("\n") == 1
        assert [mapping.is_recorded for mapping in edited.mappings] == [False] * 3
        assert file.is_foreign() and file.is_pending
        assert [lease.external_port for lease in file.read()] == [8001]
        file.write([_mapping(8001)], 100, 9000)
        assert not file.is_pending and not file.is_foreign()


def test_it_is_written_at_most_every_few_seconds():
    with _Clocks():
        file = _fresh()
        assert file.wait_ms(0) is None
        for _ in range(10):
            file.mark_changed()
            assert file.wait_ms(5000) == 0  # at once
            file.write([], 100, 5000)
            assert file.wait_ms(5000) is None
        file.mark_changed()
        assert (file.wait_ms(5001), file.wait_ms(6999), file.wait_ms(7000), file.wait_ms(9000)) == (1999, 1, 0, 0)
        file.write([], 100, 7000)
        file.mark_changed()
        assert file.wait_ms(7000) == 2000
        file.write([], 100, 27000)  # regained meanwhile, but for this one
        for _ in range(9):
            file.mark_changed()
            assert file.wait_ms(27000) == 0
            file.write([], 100, 27000)
        file.mark_changed()
        assert file.wait_ms(27000) == 2000


def test_a_file_that_takes_long_is_written_more_seldom():
    with _Clocks() as clocks:
        file = _fresh()
        for _ in range(10):
            file.write([], 100, 0)
        for cost, pause in ((0, 2000), (1, 5000), (60, 5000)):
            class Slow:
                enabled = False

                def __iter__(self):
                    clocks.seconds += cost
                    return iter([])

            file.write(Slow(), 100, 0)
            file.mark_changed()
            assert file.wait_ms(0) == pause, cost


def test_a_full_disk_is_said_once_and_tried_again():
    with _Clocks(), Output(log) as output:
        file = LeaseFile("/nowhere/at/all", CLOCK_PATH)
        for count in range(30):
            file.mark_changed()
            file.write([_mapping()], 100, count * 5000)
            assert file.is_pending
        assert output.text().count("/nowhere/at/all cannot be written") == 1
        assert "make room there" in output.text()


def test_what_comes_back_is_what_the_table_takes():
    """From table to file to table: same order, same places."""
    with _Clocks():
        table = MappingTable()
        for port, host in ((8000, ""), (8001, ""), (8000, "11.0.0.1")):
            mapping = _mapping(port, remote_host=host)
            table.commit(mapping, table.plan(mapping))
        _fresh().write(table, 100, 0)
        again = MappingTable()
        for lease in LeaseFile(PATH, CLOCK_PATH).read():
            mapping = _mapping(lease.external_port, remote_host=lease.remote_host)
            again.commit(mapping, again.plan(mapping))
        assert [str(mapping) + mapping.remote_host for mapping in again] == [
            str(mapping) + mapping.remote_host for mapping in table]


def test_rename_says_what_is_wrong():
    assert raised(OSError, rename, "/nowhere/a", "/nowhere/b").errno == 2
    assert file_mark("/nowhere/a") is None
