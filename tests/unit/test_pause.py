"""miniigd.pause: what a pause outlasts, with both clocks and the router's starts in the test's hand."""

from helpers import Output
from miniigd import log
from miniigd import pause as pause_module
from miniigd.compat import file_mark, remove
from miniigd.pause import Pause

PATH = "/tmp/miniigd-test.paused"


class _Router:
    """Its clocks and its boot; `start` is a new daemon that reads the file: (Pause, now)."""

    def __init__(self):
        self.wall, self.seconds, self.boot = 1800000000, 5000, "boot-1"

    def __enter__(self):
        _remove()
        module = pause_module
        self._real = module.wall_seconds, module.monotonic_ms, module._boot_id
        module.wall_seconds = lambda: self.wall
        module.monotonic_ms = lambda: self.seconds * 1000
        module._boot_id = lambda: self.boot
        return self

    def __exit__(self, kind, value, traceback):
        module = pause_module
        module.wall_seconds, module.monotonic_ms, module._boot_id = self._real
        _remove()

    def passes(self, seconds):
        self.wall += seconds
        self.seconds += seconds

    def start(self):
        pause = Pause(PATH)
        pause.read(1)
        return pause

    def reboot(self, wall):
        self.boot += "x"
        self.seconds, self.wall = 20, wall
        return self.start()


def _remove():
    for path in (PATH, PATH + ".new"):
        try:
            remove(path)
        except OSError:
            pass


def _state(pause, now=1):
    return pause.is_on, pause.remaining(now), pause.is_over(now)


OFF, WITHOUT_END = (False, None, False), (True, None, False)


def test_without_a_file_there_is_none():
    with _Router() as router:
        pause = router.start()
        assert _state(pause) == OFF and pause.wait_ms(1000) is None
        assert pause.end() and _state(pause) == OFF


def test_one_without_end_outlasts_everything():
    with _Router() as router:
        pause = router.start()
        assert pause.begin(0, 1)
        assert _state(pause) == WITHOUT_END and pause.wait_ms(1000) is None
        router.passes(10 ** 6)
        assert _state(router.start()) == WITHOUT_END
        assert _state(router.reboot(0)) == WITHOUT_END
        assert router.start().end()
        assert _state(router.start()) == OFF and file_mark(PATH) is None


def test_one_with_an_end_ends():
    with _Router() as router:
        pause = router.start()
        assert pause.begin(600, 100)
        assert _state(pause, 100) == (True, 600, False)
        assert pause.wait_ms(100000) == 60000
        assert pause.wait_ms(699000) == 1000 and pause.wait_ms(800000) == 0
        assert _state(pause, 699) == (True, 1, False)
        assert pause.is_over(700)


def test_within_a_boot_no_jump_of_the_wall_clock_counts():
    for jump in (0, 10 ** 8, -10 ** 9):
        with _Router() as router:
            router.start().begin(600, 100)
            router.passes(200)
            router.wall += jump
            pause = router.start()
            assert _state(pause, 1) == (True, 400, False)
            router.wall += jump
            assert _state(pause, 400) == (True, 1, False) and pause.is_over(401)
            router.passes(400)
            assert router.start().is_over(1)


def test_after_another_boot_the_wall_clock_counts_even_if_it_is_set_late():
    with _Router() as router:
        router.start().begin(600, 100)
        assert _state(router.reboot(router.wall + 200)) == (True, 400, False)
    with _Router() as router:
        end = router.wall + 600
        router.start().begin(600, 100)
        pause = router.reboot(3600)  # 1970
        assert _state(pause) == (True, 600, False)  # never more than what was asked
        assert pause.is_over(601)
        router.wall = end - 5
        assert _state(pause, 10) == (True, 5, False)
        router.wall = end + 86400
        assert pause.is_over(10)


def test_another_pause_takes_the_place_of_the_first():
    with _Router() as router:
        pause = router.start()
        pause.begin(600, 100)
        pause.begin(60, 100)
        assert _state(pause, 100) == (True, 60, False)
        assert _state(router.start()) == (True, 60, False)
        pause.begin(0, 100)
        assert _state(pause, 100) == _state(router.start()) == WITHOUT_END


def test_whatever_is_in_the_file_it_pauses():
    with _Router() as router:
        for data in (b"", b"\n", b"x", b"boot-1 1 2", b"boot-1 a b c", b"\xff\xfe", b"boot-1 5 5 5 5", b"9" * 5000,
                     b"boot-1 %s 1 1" % (b"9" * 30)):
            with open(PATH, "wb") as file:
                file.write(data)
            pause = router.start()
            assert pause.is_on and not pause.is_over(1), data


def test_a_file_that_cannot_be_written_or_removed_is_said():
    pause = Pause("/proc/miniigd.paused")
    with Output(log) as output:
        assert not pause.begin(0, 1)
    assert pause.is_on and "/proc/miniigd.paused cannot be written" in output.text()
    pause = Pause("/proc/self/status")  # there is such a file, and nobody can remove it
    with Output(log) as output:
        assert not pause.end()
    assert not pause.is_on and "/proc/self/status cannot be removed" in output.text()
    with Output(log) as output:
        pause = Pause("/proc/self/mem/x")  # neither there nor not there
        pause.read(1)
    assert pause.is_on and "cannot be read" in output.text()


def test_a_boot_has_a_name():
    name = pause_module._boot_id()
    assert len(name) > 8 and " " not in name and name == pause_module._boot_id()
