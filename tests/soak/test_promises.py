"""What a client may expect: answers, silence, leases that end, kills that undo, restarts that round."""

from promises import EARLY, LATE, NEVER, Promises, Value

KEY = ("192.168.1.20", "TCP", 8000, "")
OTHER = ("192.168.1.20", "TCP", 8001, "")


def granted(what=20000, lease=600, now=1000):
    promises = Promises()
    promises.granted(KEY, Value(what, now + lease), now - 1, now)
    return promises


def test_what_was_granted_is_there_and_nothing_else():
    promises = granted()
    assert promises.found(KEY, 20000, 598, 1001, 1002) == ""
    assert "20001" in promises.found(KEY, 20001, 598, 1001, 1002)  # another internal port
    assert "promised was" in promises.found(KEY, 20000, 593, 1001, 1002)  # ends too early
    assert "promised was" in promises.found(KEY, 20000, 615, 1001, 1002)  # too late
    assert "promised was" in promises.found(KEY, 20000, NEVER, 1001, 1002)
    assert "not there" in promises.missing(KEY, 1001, 1002)
    assert "nobody was promised" in promises.found(OTHER, 20000, 598, 1001, 1002)
    assert promises.missing(OTHER, 1001, 1002) == ""
    assert promises.sure(KEY, 1002).what == 20000 and promises.sure(OTHER, 1002) is None


def test_what_was_ended_is_not_there():
    promises = granted()
    promises.granted(KEY, None, 1001, 1002)
    assert promises.missing(KEY, 1003, 1004) == ""
    assert "promised was nothing" in promises.found(KEY, 20000, 596, 1003, 1004)


def test_a_lease_ends_at_its_end_or_a_little_later():
    promises = granted(lease=10)
    assert promises.missing(KEY, 1005, 1005) != ""
    for now in 1010 - EARLY, 1010, 1010 + LATE:
        assert promises.sure(KEY, now) is None
    assert promises.missing(KEY, 1010 + LATE, 1010 + LATE) == ""
    promises = granted(lease=10)
    assert promises.found(KEY, 20000, 1, 1012, 1012) == ""  # about to be closed: there is a second left at least
    assert promises.found(KEY, 20000, 1, 1011 + EARLY + LATE, 1011 + EARLY + LATE) != ""
    assert granted(lease=NEVER).found(KEY, 20000, NEVER, 9000, 9000) == ""


def test_without_an_answer_both_can_be_so_until_it_is_seen():
    for seen, not_seen in ((lambda p: p.missing(KEY, 1101, 1102), lambda p: p.found(KEY, 20000, 496, 1103, 1104)),
                           (lambda p: p.found(KEY, 20000, 498, 1101, 1102), lambda p: p.missing(KEY, 1103, 1104))):
        promises = granted()
        promises.unsure(KEY, [None], 1001)
        assert promises.sure(KEY, 1002) is None
        assert seen(promises) == ""
        assert not_seen(promises) != ""


def test_a_request_without_an_answer_may_still_be_carried_out_for_a_while():
    promises = granted()
    promises.unsure(KEY, [None], 1001)
    assert promises.found(KEY, 20000, 597, 1002, 1003) == ""
    assert promises.missing(KEY, 1004, 1005) == ""  # it was deleted in the end
    promises.granted(KEY, Value(20001, 1700), 1005, 1006)
    assert promises.missing(KEY, 1007, 1008) == ""  # and may be again


def test_a_kill_undoes_what_was_not_written_and_nothing_else():
    promises = granted()
    promises.granted(OTHER, Value(20001, 1600), 1000, 1000)
    promises.granted(OTHER, None, 1050, 1050)
    promises.granted(OTHER, Value(20002, 1700), 1055, 1055)
    promises.lost(1045, 1060)
    assert promises.missing(KEY, 1061, 1062) != ""  # long written
    assert promises.sure(OTHER, 1061) is None
    for what, end in (20001, 1600), (20002, 1700):
        assert promises.found(OTHER, what, end - 1062, 1059, 1062) == ""  # asked before the kill: it teaches nothing
    assert promises.missing(OTHER, 1063, 1064) == ""
    assert promises.found(OTHER, 20001, 534, 1065, 1066) != ""  # it was seen that it is not there


def test_an_answer_from_before_the_kill_may_have_been_undone():
    promises = granted()
    promises.lost(1045, 1060)
    promises.granted(OTHER, Value(20002, 1700), 1059, 1061)  # carried out before the kill, read behind it
    assert promises.missing(OTHER, 1062, 1063) == ""
    promises.granted(OTHER, Value(20002, 1700), 1064, 1065)
    assert promises.missing(OTHER, 1066, 1067) != ""


def test_a_restart_may_round_a_lease():
    promises = granted(lease=600)
    late = 600 + EARLY + 1
    assert promises.found(KEY, 20000, late, 1000, 1000) != ""
    promises.restarted()
    assert promises.found(KEY, 20000, late, 1000, 1000) == ""
    assert promises.found(KEY, 20000, late + 60, 1000, 1000) != ""
    promises.granted(KEY, Value(20000, 1600), 1000, 1000)  # renewed: it counts anew
    assert promises.found(KEY, 20000, late, 1000, 1000) != ""


def test_a_clock_that_stood_still_makes_leases_longer():
    promises = granted(lease=600)
    late = 600 + EARLY + 20
    assert promises.found(KEY, 20000, late, 1000, 1000) != ""
    promises.slowed(20)
    assert promises.found(KEY, 20000, late, 1000, 1000) == ""
    assert promises.found(KEY, 20000, 600 - EARLY - 1, 1000, 1000) != ""  # but no shorter
    assert promises.missing(KEY, 1500, 1500) != ""


def test_everything_may_be_gone():
    promises = granted()
    promises.may_be_gone(1010)
    assert promises.found(KEY, 20000, 588, 1011, 1012) == ""
    assert promises.missing(KEY, 1013, 1014) != ""  # it was seen behind that
    promises.may_be_gone(NEVER)  # it goes on
    promises.granted(OTHER, Value(20001, 1600), 1020, 1021)
    assert promises.missing(OTHER, 1022, 1023) == "" and promises.missing(KEY, 1022, 1023) == ""
    promises.may_be_gone(1030)  # it is over
    promises.granted(OTHER, Value(20001, 1600), 1031, 1032)
    assert promises.missing(OTHER, 1033, 1034) != ""


def test_what_was_made_without_an_answer_is_nobodys_until_it_has_a_name():
    promises = granted()
    kind = ("192.168.1.20", "TCP", 21000)
    assert promises.found(OTHER, 21000, 598, 1001, 1002, kind) != ""
    promises.unnamed(kind, 1700)
    assert promises.found(OTHER, 21000, 598, 1001, 1002, kind) == ""
    assert promises.found(OTHER, 21001, 598, 1001, 1002, ("192.168.1.20", "TCP", 21001)) != ""
    assert promises.found(OTHER, 21000, -102, 1701, 1702, kind) != ""
    promises.unnamed(kind, 1800)
    promises.named(kind)
    assert promises.found(OTHER, 21000, 598, 1001, 1002, kind) != ""


def test_all_are_compared_with_all():
    promises = granted()
    assert promises.check({KEY: (20000, 598)}, 1001, 1002) == []
    assert len(promises.check({}, 1001, 1002)) == 1
    assert len(promises.check({OTHER: (1, 598)}, 1001, 1002)) == 2
    assert promises.keys("192.168.1.20", 1002) == [KEY] and promises.keys("192.168.1.21", 1002) == []
    assert promises.keys("192.168.1.20", 1002, [20000]) == [KEY] and promises.keys("192.168.1.20", 1002, [1]) == []
    assert promises.latest(KEY, 1002).what == 20000 and promises.latest(OTHER, 1002) is None


def test_that_one_number_is_not_there_says_nothing_of_another():
    promises = granted(what=None)  # a number that was not told
    assert promises.missing(KEY, 1001, 1002, 4711) == ""
    assert granted(what=4711).missing(KEY, 1001, 1002, 4711) != ""
