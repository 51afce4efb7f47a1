"""miniigd.log: one line a message, whatever is in it; nothing is raised when nobody reads."""

from helpers import Output
from miniigd import log

WRITERS = (("debug", log.debug), ("info", log.info), ("warning", log.warning), ("error", log.error))


class _Broken:
    """A standard error that is gone."""

    stderr = None

    def write(self, text):
        raise OSError(32, "closed")


def test_a_line_has_program_level_and_text():
    with Output(log) as output:
        log.warning("refused TCP 80")
    assert output.text() == "miniigd: warning: refused TCP 80\n"


def test_what_is_below_the_level_is_left_out():
    for least in (log.DEBUG, log.INFO, log.WARNING, log.ERROR):
        log.set_level(least)
        with Output(log) as output:
            for _, write in WRITERS:
                write("x")
        log.set_level(log.INFO)
        assert output.text() == "".join(["miniigd: %s: x\n" % name for name, _ in WRITERS[least:]])


def test_a_hostile_text_cannot_forge_a_line():
    with Output(log) as output:
        log.info("a\nminiigd: info: b\r\x1b[2J\x7f\0\u2028\u00e9")
    assert output.text() == "miniigd: info: a?miniigd: info: b??[2J????\n"


def test_printable_keeps_ascii():
    text = "".join([chr(code) for code in range(32, 127)])
    assert log.printable(text) == text
    assert log.printable("") == ""


class _Seconds:
    """The clock by which events are counted: `with _Seconds() as clock: clock.now += 10; clock.took()`."""

    def __init__(self, level=log.INFO):
        self.now, self._level = 1000, level
        self._output = Output(log)

    def __enter__(self):
        log.set_level(self._level)
        log.set_clock(lambda: self.now)
        self._output.__enter__()
        return self

    def __exit__(self, kind, value, traceback):
        self._output.__exit__(None, None, None)
        log.set_clock(None)
        log.set_level(log.INFO)

    def ask(self, count, kind="refused", host="192.168.1.2"):
        """Log `count` events; return the lines that were written."""
        before = len(self._output.text())
        for _ in range(count):
            log.event(kind, host, "x")
        return self._output.text()[before:].split("\n")[:-1]

    def left_out(self):
        before = len(self._output.text())
        log.tell_left_out()
        return self._output.text()[before:]


def test_an_event_says_what_was_done():
    for kind, level in (("opened", "info"), ("renewed", "info"), ("closed", "info"), ("refused", "warning")):
        with _Seconds() as clock:
            assert clock.ask(1, kind) == ["miniigd: %s: %s x" % (level, kind)]


def test_a_host_that_asks_all_day_does_not_fill_the_log():
    for kind, pause in (("opened", 10), ("closed", 10), ("refused", 300), ("renewed", 600)):
        with _Seconds() as clock:
            assert len(clock.ask(1000, kind)) == 20
            clock.now += pause - 1
            assert clock.ask(10, kind) == []
            clock.now += 1
            lines = clock.ask(10, kind)
            assert len(lines) == 1 and lines[0].endswith("%s x (990 such lines about 192.168.1.2 left out)" % kind)
            clock.now += 2 * pause
            lines = clock.ask(10, kind)
            assert len(lines) == 2 and "(9 such lines" in lines[0] and "left out" not in lines[1]
            clock.now += 30 * pause  # no more than at once
            assert len(clock.ask(100, kind)) == 20


def test_a_client_that_renews_every_half_minute_is_a_line_in_ten_minutes():
    with _Seconds() as clock:
        count = 0
        for _ in range(2880):  # a day
            clock.now += 30
            count += len(clock.ask(1, "renewed"))
        assert 144 <= count <= 144 + 20


def test_hosts_and_kinds_are_counted_apart():
    with _Seconds() as clock:
        assert len(clock.ask(100)) == 20
        assert len(clock.ask(1, "opened")) == 1
        assert len(clock.ask(1, "refused", "192.168.1.3")) == 1
        assert clock.ask(1) == []


def test_what_was_left_out_is_said_when_it_is_over():
    with _Seconds() as clock:
        clock.ask(50)
        clock.now += 59
        assert clock.left_out() == ""
        clock.now += 1
        assert clock.left_out() == "miniigd: info: refused 192.168.1.2: 30 such lines left out\n"
        assert clock.left_out() == ""
        clock.now += 10000
        assert clock.ask(1) == ["miniigd: warning: refused x"]


def test_many_hosts_do_not_fill_the_memory():
    with _Seconds() as clock:
        written = sum([len(clock.ask(30, "refused", "192.168.1.%d" % host)) for host in range(250)])
        assert len(log._buckets) <= 65 and written == 200  # of all together
        clock.now += 2000
        assert len(clock.ask(20, "opened", "192.168.1.250")) == 20  # with the others
        assert clock.ask(1, "opened", "192.168.1.251") == []
    with _Seconds() as clock:
        for host in range(250):  # quiet ones are forgotten
            clock.now += 10
            assert len(clock.ask(1, "opened", "192.168.1.%d" % host)) == 1
        assert len(log._buckets) <= 64


def test_a_host_with_many_addresses_does_not_fill_the_log():
    with _Seconds() as clock:
        written = 0
        for second in range(3600):
            clock.now += 1
            for kind in ("opened", "closed", "refused", "renewed"):
                written += len(clock.ask(1, kind, "2001:db8::%x" % second))
        assert 200 <= written <= 200 + 3600 // 5
        clock.now += 10000
        assert len(clock.ask(1, "opened", "192.168.1.2")) == 1


def test_errors_are_never_left_out_and_debugging_shows_everything():
    with _Seconds(log.DEBUG) as clock:
        assert len(clock.ask(1000)) == 1000
    with _Seconds() as clock:
        clock.ask(1000)
        for _ in range(100):
            log.error("e")
        assert clock._output.text().count("error: e\n") == 100
    with _Seconds(log.ERROR) as clock:
        assert clock.ask(1000) == []
        clock.now += 100
        assert clock.left_out() == ""


def test_without_a_clock_every_event_is_written():
    with Output(log) as output:
        for _ in range(100):
            log.event("opened", "192.168.1.2", "x")
        log.tell_left_out()
    assert output.text().count("opened x") == 100


def test_nobody_reads():
    with Output(log):
        log.sys = _Broken()
        log.sys.stderr = log.sys
        log.error("lost")
        log.exception("a test", ValueError("lost"))


def test_an_exception_is_logged_with_its_kind_and_what_failed():
    with Output(log) as output:
        try:
            raise KeyError("of this test")
        except KeyError as error:
            log.exception("a handler", error)
    assert output.text().startswith("miniigd: error: a handler failed; please report this:\n")
    assert "KeyError" in output.text()
    assert "of this test" in output.text()
