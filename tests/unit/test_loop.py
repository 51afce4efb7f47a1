"""miniigd.loop: readiness, timers and signals, turned by hand; one handler's failure is nobody else's."""

import socket

from helpers import Clock, Output, take_turns
from miniigd import log
from miniigd import loop as loop_module
from miniigd.compat import address
from miniigd.loop import EVENT_READ, EVENT_WRITE, Loop

PORTS = (17511, 17512)


class _Pair:
    """Two UDP sockets, `a` and `b`; poke(b) makes b readable."""

    def __init__(self):
        self.a, self.b = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in PORTS]
        self.a.bind(address("127.0.0.1", PORTS[0]))
        self.b.bind(address("127.0.0.1", PORTS[1]))

    def poke(self, sock):
        port = PORTS[1] if sock is self.b else PORTS[0]
        self.a.sendto(b"x", address("127.0.0.1", port))

    def close(self):
        self.a.close()
        self.b.close()


def test_time_is_taken_once_a_turn():
    with Clock() as clock:
        loop = Loop()
        start, start_ms = loop.now, loop.now_ms
        assert start == start_ms // 1000 > 0
        clock.ms += 2500
        assert (loop.now, loop.now_ms) == (start, start_ms)
        loop.turn(0)
        assert loop.now_ms == start_ms + 2500
        assert loop.now == loop.now_ms // 1000


def test_time_does_not_wrap():
    with Clock() as clock:
        loop, calls = Loop(), []
        loop.call_later(604800 * 1000, lambda: calls.append(1))
        clock.ms += 604800 * 1000 - 1
        loop.turn(0)
        assert calls == []
        clock.ms += 1
        loop.turn(0)
        assert calls == [1]
        clock.ms += 2 ** 40
        loop.turn(0)
        assert loop.now > 2 ** 30


def test_readiness():
    pair, loop, seen = _Pair(), Loop(), []

    def read(events):
        seen.append(events)
        pair.b.recv(10)

    loop.register(pair.b, EVENT_READ, read)
    loop.turn(0)
    assert seen == []
    pair.poke(pair.b)
    loop.turn(1000)
    assert seen == [EVENT_READ]
    loop.turn(0)
    assert seen == [EVENT_READ]
    loop.unregister(pair.b)
    pair.poke(pair.b)
    loop.turn(0)
    assert seen == [EVENT_READ]
    pair.close()


def test_a_descriptor_may_be_registered():
    pair, loop, seen = _Pair(), Loop(), []
    loop.register(pair.b.fileno(), EVENT_READ, seen.append)
    pair.poke(pair.b)
    loop.turn(1000)
    assert seen == [EVENT_READ]
    loop.unregister(pair.b.fileno())
    pair.close()


def test_modify_changes_events_and_callback():
    pair, loop, seen, others = _Pair(), Loop(), [], []
    loop.register(pair.b, EVENT_READ, seen.append)
    loop.modify(pair.b, EVENT_WRITE, others.append)
    loop.turn(1000)
    assert (seen, others) == ([], [EVENT_WRITE])
    loop.modify(pair.b, EVENT_READ, seen.append)
    loop.turn(0)
    assert (seen, others) == ([], [EVENT_WRITE])
    pair.close()


def test_who_is_unregistered_in_a_turn_is_not_called_in_it():
    pair, loop, seen = _Pair(), Loop(), []

    def read_a(events):
        seen.append("a")
        loop.unregister(pair.b)

    def read_b(events):
        seen.append("b")
        loop.unregister(pair.a)

    loop.register(pair.a, EVENT_READ, read_a)
    loop.register(pair.b, EVENT_READ, read_b)
    pair.poke(pair.a)
    pair.poke(pair.b)
    loop.turn(1000)
    assert seen in (["a"], ["b"])
    pair.close()


def test_timers_run_when_they_are_due():
    with Clock() as clock:
        loop, calls = Loop(), []
        for delay_ms in (250, 100, 0, 1000):
            loop.call_later(delay_ms, lambda delay_ms=delay_ms: calls.append(delay_ms))
        for step_ms, expected in ((0, [0]), (99, [0]), (1, [0, 100]), (149, [0, 100]), (1, [0, 100, 250]),
                                  (10000, [0, 100, 250, 1000]), (10000, [0, 100, 250, 1000])):
            clock.ms += step_ms
            loop.turn(0)
            assert calls == expected


def test_cancelled_timers_do_not_run():
    with Clock() as clock:
        loop, calls = Loop(), []
        first = loop.call_later(10, lambda: calls.append(1))
        loop.call_later(10, lambda: calls.append(2))
        loop.cancel(first)
        loop.cancel(first)
        loop.cancel(None)
        clock.ms += 10
        loop.turn(0)
        assert calls == [2]


def test_a_timer_may_cancel_another_that_is_due():
    with Clock() as clock:
        loop, calls, timers = Loop(), [], []

        def run(index):
            calls.append(index)
            loop.cancel(timers[1 - index])

        timers.append(loop.call_later(10, lambda: run(0)))
        timers.append(loop.call_later(10, lambda: run(1)))
        clock.ms += 10
        loop.turn(0)
        assert len(calls) == 1


def test_a_timer_that_sets_itself_again_does_not_run_twice_in_a_turn():
    with Clock() as clock:
        loop, calls = Loop(), []

        def again():
            calls.append(1)
            loop.call_later(0, again)

        loop.call_later(0, again)
        for count in (1, 2, 3):
            clock.ms += 1
            loop.turn(0)
            assert len(calls) == count


def test_the_end_of_a_turn_comes_behind_everything():
    with Clock() as clock:
        loop, calls = Loop(), []
        loop.at_end_of_turn = lambda: calls.append("end")
        loop.call_later(10, lambda: calls.append("timer"))
        loop.turn(0)
        clock.ms += 10
        loop.turn(0)
        assert calls == ["end", "timer", "end"]


def test_run_goes_on_until_stop():
    with Clock() as clock:
        loop, calls = Loop(), []

        def tick():
            calls.append(1)
            clock.ms += 10
            if len(calls) == 5:
                loop.stop()
            loop.call_later(0, tick)

        loop.call_later(0, tick)
        loop.run()
        assert len(calls) == 5


def test_run_waits_for_the_next_timer_only():
    with Clock() as clock:
        waits = []

        def select_ms(selector, timeout_ms):
            waits.append(timeout_ms)
            clock.ms += timeout_ms
            return []

        loop = Loop()
        loop.call_later(604800000, loop.stop)
        loop.call_later(250, lambda: None)
        real, loop_module.select_ms = loop_module.select_ms, select_ms
        loop.run()
        loop_module.select_ms = real
        assert waits == [250, 604800000 - 250]
        assert loop._wait_ms() is None


def test_what_is_due_at_once_takes_turns_with_who_asks():
    pair, loop, calls = _Pair(), Loop(), []
    for number in range(3):
        loop.call_later(0, lambda number=number: calls.append(number))
    loop.register(pair.b, EVENT_READ, lambda events: calls.append("asked"))
    pair.poke(pair.b)
    for _ in range(4):
        loop.turn(1000)
    assert calls == ["asked", 0, "asked", 1, "asked", 2, "asked"]
    pair.close()


def test_the_first_that_is_due_is_called_first():
    with Clock() as clock:
        loop, calls = Loop(), []
        for delay in (30, 10, 20):
            loop.call_later(delay, lambda delay=delay: calls.append(delay))
        clock.ms += 30
        take_turns(loop)
    assert calls == [10, 20, 30]


def _fail():
    raise ValueError("of this test")


def _fill():
    raise MemoryError()


def test_a_handler_that_fails_is_logged_and_the_others_go_on():
    pair, calls = _Pair(), []
    with Clock() as clock, Output(log) as output:
        loop = Loop()
        loop.register(pair.b, EVENT_READ, lambda events: pair.b.recv(1) and _fail())
        loop.call_later(0, _fail)
        loop.call_later(0, lambda: calls.append(1))
        loop.at_end_of_turn = _fail
        pair.poke(pair.b)
        clock.ms += 1
        loop.turn(1000)
        assert calls == []
        loop.at_end_of_turn = None
        take_turns(loop)
    assert calls == [1]
    assert output.text().count("a handler failed; please report this:") == 3
    assert output.text().count("ValueError: of this test") == 3
    pair.close()


def test_without_memory_the_request_is_dropped():
    calls = []
    with Output(log) as output:
        loop = Loop()
        loop.call_later(0, _fill)
        loop.call_later(0, lambda: calls.append(1))
        take_turns(loop)
    assert calls == [1]
    assert output.text() == "miniigd: warning: dropped a request: out of memory\n"


def test_signals():
    pair, calls, numbers = _Pair(), [], []

    def read_signal():
        if numbers:
            return numbers.pop(0)
        pair.b.recv(10)
        return 0

    real = loop_module.signal_fd, loop_module.read_signal
    loop_module.signal_fd, loop_module.read_signal = pair.b.fileno, read_signal
    loop = Loop()
    loop.on_signal(15, lambda: calls.append(15))
    loop.on_signal(1, lambda: calls.append(1))
    for came, expected in (([15], [15]), ([1, 15, 1], [1, 15, 1]), ([10], [])):
        calls.clear()
        numbers.extend(came)
        pair.poke(pair.b)
        loop.turn(1000)
        assert calls == expected
    loop_module.signal_fd, loop_module.read_signal = real
    pair.close()
