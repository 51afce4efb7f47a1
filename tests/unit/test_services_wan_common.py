"""miniigd.services.wan_common: the link's properties and its counters."""

from miniigd.services import Context, wan_common


class _Wan:
    upstream_bit_rate = 4294967295
    downstream_bit_rate = 100000000
    is_up = True
    counters = {"tx_bytes": 1, "rx_bytes": 2, "tx_packets": 3, "rx_packets": 4294967295}

    def counter(self, name):
        return self.counters[name]


class _Gateway:
    wan = _Wan()


def _call(name):
    action = wan_common.SERVICE.find_action(name)
    values = action.function(Context(_Gateway, "192.168.1.2", 100, 1), [])
    assert len(values) == len(action.arguments_out)
    return values


def test_link_properties():
    assert _call("GetCommonLinkProperties") == ["Cable", 4294967295, 100000000, "Up"]
    _Gateway.wan.is_up = False
    assert _call("GetCommonLinkProperties")[3] == "Down"
    _Gateway.wan.is_up = True


def test_counters():
    assert _call("GetTotalBytesSent") == (1,)
    assert _call("GetTotalBytesReceived") == (2,)
    assert _call("GetTotalPacketsSent") == (3,)
    assert _call("GetTotalPacketsReceived") == (4294967295,)


def test_what_is_said_is_in_the_list_of_what_may_be_said():
    for name, value in (("WANAccessType", "Cable"), ("PhysicalLinkStatus", "Up"), ("PhysicalLinkStatus", "Down")):
        assert value in wan_common.SERVICE.find_variable(name).allowed


def test_the_service_is_called_as_the_standard_says():
    assert wan_common.SERVICE.type == "urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1"
    assert wan_common.SERVICE.id == "urn:upnp-org:serviceId:WANCommonIFC1"
