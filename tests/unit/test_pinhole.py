"""miniigd.pinhole: identity, numbers, limits and expiry of pinholes."""

from helpers import raised
from miniigd.errors import UPnPError
from miniigd.pinhole import MAX_PINHOLES, MAX_PINHOLES_PER_CLIENT, Pinhole, PinholeTable

HOST, OTHER, REMOTE = "2001:db8::2", "2001:db8::3", "2001:db8:9::1"


class _Numbers:
    """Gives out the numbers of a row, then the last one for ever."""

    def __init__(self, *numbers):
        self._numbers = list(numbers)

    def __call__(self):
        return self._numbers.pop(0) if len(self._numbers) > 1 else self._numbers[0]


def _table(*numbers, **named):
    return PinholeTable(_Numbers(*(numbers or (1,))), **named)


def _made(table, port=8000, client=HOST, remote_host="", remote_port=0, protocol="TCP", expires=160):
    pinhole = Pinhole(table.new_id(), remote_host, remote_port, protocol, client, port, 60, expires)
    table.commit(pinhole)
    return pinhole


ENDS = (("", 0, "TCP", HOST, 8000), (REMOTE, 0, "TCP", HOST, 8000), ("", 77, "TCP", HOST, 8000),
        (REMOTE, 77, "TCP", HOST, 8000), ("", 0, "UDP", HOST, 8000), ("", 0, "TCP", OTHER, 8000),
        ("", 0, "TCP", HOST, 8001))


def test_each_of_the_five_ends_makes_another_pinhole():
    table = _table()
    made = []
    for ends in ENDS:
        assert table.find_tuple(*ends) is None
        remote_host, remote_port, protocol, client, port = ends
        made.append(_made(table, port, client, remote_host, remote_port, protocol))
        assert [table.find_tuple(*some) for some in ENDS[:len(made)]] == made
    assert list(table) == made and len(table) == len(ENDS)
    assert len(set([pinhole.unique_id for pinhole in made])) == len(ENDS)
    for index in (3, 0, 6, 1, 2, 5, 4):  # whatever the order in which they go
        table.remove(made[index])
        assert table.find_tuple(*ENDS[index]) is None and table.find(made[index].unique_id) is None
        for other in table:
            assert table.find(other.unique_id) is other
            assert table.find_tuple(other.remote_host, other.remote_port, other.protocol, other.internal_client,
                                    other.internal_port) is other
    assert len(table) == 0


def test_the_text_says_what_is_open():
    table = _table()
    for ends, text in zip(ENDS, (
            "TCP [2001:db8::2]:8000", "TCP [2001:db8::2]:8000 from [2001:db8:9::1]",
            "TCP [2001:db8::2]:8000 from port 77", "TCP [2001:db8::2]:8000 from [2001:db8:9::1] port 77",
            "UDP [2001:db8::2]:8000")):
        remote_host, remote_port, protocol, client, port = ends
        assert str(_made(table, port, client, remote_host, remote_port, protocol)) == text


def test_ids_are_the_random_numbers_and_never_zero():
    table = _table(4711, 0, 4711, 65535, 65535)
    assert [_made(table, port).unique_id for port in (8000, 8001, 8002, 8003, 8004)] == [4711, 1, 4712, 65535, 2]


def test_an_id_does_not_come_back_soon():
    table = _table(9)
    first = _made(table)
    table.remove(first)
    for _ in range(63):
        table.remove(_made(table))
    assert _made(table).unique_id == 9 + 64
    table.remove(_made(table))
    assert _made(table).unique_id == 9  # 64 others went since


def test_there_are_limits():
    table = _table()
    for index in range(MAX_PINHOLES_PER_CLIENT):
        table.check_room(HOST)
        _made(table, 2000 + index)
    assert raised(UPnPError, table.check_room, HOST).code == 701
    table.check_room(OTHER)
    for index in range(MAX_PINHOLES - MAX_PINHOLES_PER_CLIENT):
        table.check_room("2001:db8::%x" % (16 + index))
        _made(table, 2000, "2001:db8::%x" % (16 + index))
    assert raised(UPnPError, table.check_room, OTHER).code == 701
    table.remove(table.find_tuple("", 0, "TCP", HOST, 2000))
    table.check_room(OTHER)
    small = _table(most=1)
    _made(small)
    assert raised(UPnPError, small.check_room, OTHER).code == 701


def test_leases_end_in_their_order():
    table = _table()
    assert table.next_expiry is None
    late, early, middle = [_made(table, 8000 + index, expires=expires) for index, expires in enumerate((300, 100, 200))]
    assert table.next_expiry == 100
    assert table.expired(99, 9) == [] and table.next_expiry == 100
    assert table.expired(250, 1) == [early] and table.next_expiry == 200
    table.remove(early)
    assert table.expired(250, 9) == [middle] and table.next_expiry == 300
    table.renew(late, 30, 150)
    assert table.next_expiry == 150 and (late.lease_duration, late.expires) == (30, 150)
    assert late.remaining(100) == 50 and late.remaining(150) == 1


class _Small(dict):
    """A dict that finds no memory."""

    def __setitem__(self, key, value):
        raise MemoryError


def test_without_memory_nothing_is_half_done():
    for name in ("_ids", "_ports"):
        table = _table()
        kept = _made(table)
        real = getattr(table, name)
        setattr(table, name, _Small(real))
        raised(MemoryError, _made, table, 8001)
        setattr(table, name, real)
        assert list(table) == [kept] and table.find_tuple("", 0, "TCP", HOST, 8001) is None
        _made(table, 8001)
        assert len(table) == 2
