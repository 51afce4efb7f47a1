"""Pinholes with ip6tables: a rule for each in the chain MINIUPNPD of ip6tables' filter, where firewall3 has it too.

    filter MINIUPNPD    [-s 2001:db8:9::1] -d 2001:db8::2 -p tcp [--sport 77] --dport 8000 -j ACCEPT

As with iptables: one `ip6tables-restore --noflush` for each change, and the kernel is asked whether somebody else changed
the table. Part of iptables.IptablesFirewall, whose comments hold here.
"""

import errno

from .. import log
from ..addresses import ip6_bytes, ip6_text
from ..compat import const
from ..errors import FirewallError
from .iptables_chains import HOOKS, ZONE
from .iptables_program import Program, beginning, restore_text

_BATCH = const(100)  # pinholes in one process of a sync
_TABLE = "filter"


class Ip6tables:
    """The pinholes' rules. `refusal` says why there can be none, "" where they can.

    `run` is compat.run_program, `info` compat.xtables6_info, `zone` the WAN's in firewall3.
    """

    def __init__(self, run, info, zone=ZONE):
        self._program = Program("ip6tables", run, [hook for hook in HOOKS if hook.table == _TABLE], zone)
        self._info = info
        self._device = None
        self._pinholes = None  # in the order of the rules; None: nobody knows what is in our chain
        self._seen = None  # what the kernel told of the table after our last change
        self.refusal = ""

    def open(self, device):
        """Find out whether pinholes can be made for the WAN's `device`; a router without ip6tables has none.

        FirewallError where some are there: then it is to be tried again.
        """
        self._device = device
        try:
            self._program.look(device)
            self.refusal = ""
        except FirewallError as error:
            if self._pinholes:
                raise
            if self.refusal != error.text:
                log.info("no IPv6 pinholes: %s" % error.text)
            self.refusal = error.text

    def _check_open(self):
        if self.refusal:
            raise FirewallError(self.refusal)
        if self._device is None:
            raise FirewallError("ip6tables: there is no place for pinholes yet", errno.ENODEV)

    def is_intact(self, pinholes):
        """True when nobody changed the table since our last change, which was about these."""
        return bool(self.refusal) or self._is_untouched() and self._pinholes == pinholes

    def _is_untouched(self):
        return self._pinholes is not None and (self._seen is None or self._info(_TABLE) == self._seen)

    def _check_intact(self):
        self._check_open()
        if not self._is_untouched():
            self._pinholes = None
            raise FirewallError("ip6tables: somebody else changed the table", errno.ENOENT)

    def add(self, pinhole, is_renewed):
        """Open a pinhole; nothing in the kernel ends by itself, so a renewal changes nothing there."""
        self._check_intact()
        if not is_renewed:
            self._change(["-A %s %s" % (self._chain, _rule(pinhole))], self._pinholes + [pinhole])
        elif pinhole not in self._pinholes:
            raise FirewallError("ip6tables: the pinhole is not there", errno.ENOENT)

    def remove(self, pinholes):
        """Close pinholes; one process for all of them."""
        self._check_intact()
        gone = [pinhole for pinhole in pinholes if pinhole in self._pinholes]
        if gone:
            self._change(["-D %s %s" % (self._chain, _rule(pinhole)) for pinhole in gone],
                         [pinhole for pinhole in self._pinholes if pinhole not in gone])

    def sync(self, pinholes):
        """Hold exactly these; puts back what is missing of the chain, too."""
        if self.refusal:
            return
        lines = beginning(_TABLE, self._program.take_jumps(self._device))
        start = 0
        while True:
            lines += ["-A %s %s" % (self._chain, _rule(pinhole)) for pinhole in pinholes[start:start + _BATCH]]
            self._change(lines, None)
            lines = []
            start += _BATCH
            if start >= len(pinholes):
                break
        self._pinholes = list(pinholes)

    def counters(self, pinholes):
        """Return [(packets, bytes)] of each."""
        if self.refusal or not pinholes or self._pinholes is None:
            return [(0, 0) for _ in pinholes]
        found = self._program.counters(_TABLE, self._chain, len(self._pinholes))
        return [found[self._pinholes.index(pinhole)] if pinhole in self._pinholes else (0, 0) for pinhole in pinholes]

    def close(self):
        """Take our chain away."""
        if not self._program.is_found or self.refusal:
            return
        self._program.forget_jumps()
        self._pinholes = None
        try:
            self._program.restore([self._program.removal(_TABLE, self._device)])
        except FirewallError:
            self._program.restore([self._program.emptying(_TABLE)])  # somebody took a part of it away

    @property
    def _chain(self):
        return self._program.hooks[0].chain

    def _change(self, lines, pinholes):
        """Make the changes; our chain holds `pinholes` then. Where it fails nobody knows what it holds."""
        self._pinholes = None
        self._program.restore([restore_text(_TABLE, lines)])
        self._pinholes = pinholes
        self._seen = self._info(_TABLE)


def _rule(pinhole):
    """Return the words of a pinhole's rule: numbers and addresses in their one form only."""
    source = "-s %s " % ip6_text(ip6_bytes(pinhole.remote_host)) if pinhole.remote_host else ""
    port = "--sport %d " % pinhole.remote_port if pinhole.remote_port else ""
    return "%s-d %s -p %s %s--dport %d -j ACCEPT" % (
        source, ip6_text(ip6_bytes(pinhole.internal_client)), {"TCP": "tcp", "UDP": "udp"}[pinhole.protocol], port,
        pinhole.internal_port)
