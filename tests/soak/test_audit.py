"""How lists are compared with the table while leases end."""

from audit import _all_differ as differ

FIRST, SECOND, THIRD = ("TCP", "8000", "a"), ("TCP", "8001", "b"), ("UDP", "8000", "c")


def test_lists_agree_whatever_ended_while_they_were_read():
    for listed in [FIRST, THIRD], [FIRST, SECOND, THIRD]:
        assert differ("mappings", [FIRST, SECOND, THIRD], [FIRST, THIRD], {"a list": (3, listed)}) == []
    for count, is_right in (1, False), (2, True), (3, True), (4, False):
        found = differ("mappings", [FIRST, SECOND, THIRD], [FIRST, THIRD], {"a set": (0, [()] * count)})
        assert (found == []) == is_right


def test_what_is_missing_too_much_twice_or_in_another_order_is_said():
    for listed, word in (([FIRST], "only in the table"), ([FIRST, SECOND, THIRD], "only in a list"),
                         ([THIRD, FIRST], "order"), ([FIRST, FIRST, THIRD], "twice")):
        (line,) = differ("mappings", [FIRST, THIRD], [FIRST, THIRD], {"a list": (3, listed)})
        assert word in line and "\n" not in line


def test_some_lists_have_fewer_values_and_soap_its_own_order():
    table = [THIRD, FIRST]
    assert differ("mappings", table, table, {"rules": (2, [THIRD[:2], FIRST[:2]]), "SOAP": (3, [FIRST, THIRD])}) == []
