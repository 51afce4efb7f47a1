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
