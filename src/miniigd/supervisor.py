"""The composition root: puts the daemon together from its configuration, starts it, stops it in reverse order."""

import gc
import sys

from . import VERSION, capabilities, config, interfaces, leases6, log, neighbours
from .administration import Administration
from .channel import Channel
from .compat import SIGHUP, SIGINT, SIGTERM, SIGUSR1, const, run_program, xtables6_info, xtables_info
from .description import Device
from .errors import ConfigError, FirewallError
from .gateway import Gateway
from .hosts import Hosts
from .interfaces import Interfaces
from .lan import Lans
from .leases import LeaseFile
from .loop import Loop
from .mapping import MappingTable
from .net import is_small
from .netlink_channel import NetlinkChannel
from .pause import Pause
from .policy import Policy
from .wan import Wan, is_ppp

_FIREWALL4 = "/sbin/fw4"
_CANNOT_START = const(127)
_UNKNOWN = object()
# With 16 MB the kernel has a megabyte left when all is full: its tables of rules, and what clients send, come from that.
_SMALL_MAPPINGS, _SMALL_PINHOLES = const(200), const(100)
_RETRY_MS = const(5000)  # when the kernel did not do what it was asked
_POLL_MS = const(4000)  # between two looks at iptables' tables, of whose changes nobody tells; while ports are open
_TIDY_MS = const(1000)  # behind the start, when its announcements are out
_CHECK_MS = const(500)  # behind the first report of a change of the firewall: a reload makes many


def main(arguments):
    """Run the daemon; return the exit status."""
    if arguments == ["--version"]:
        sys.stdout.write("miniigd %s\n" % VERSION)
        return 0
    if arguments[:1] == ["check"]:
        from . import check

        return check.main(arguments[1:], sys.stdout)
    try:
        settings = config.parse_arguments(arguments)
        config.read_file(settings)
        log.set_level(log.DEBUG if settings.is_verbose else settings.log_level)
    except ConfigError as error:
        sys.stderr.write("miniigd: %s\n%s" % (error.args[0], config.USAGE))
        return 2
    try:
        supervisor = Supervisor(settings)
    except FirewallError as error:
        log.error("cannot start: %s" % error.text)
        return 1
    return supervisor.run()


def _make_firewall(settings, lans):
    """Return (the back end, what ends connections, the NetlinkChannel that hears of changes), the last two or None.

    Only the modules that are used are loaded.
    """
    name = settings.firewall
    if name == "auto":
        name = _find_firewall()
    if name == "memory":
        from .firewall.memory import MemoryFirewall

        return MemoryFirewall(), None, None
    if name == "iptables":
        from .firewall.iptables import IptablesFirewall

        return IptablesFirewall(run_program, xtables_info, settings.wan_zone,
                                None if settings.is_ipv6_disabled else xtables6_info), _make_flows(), None
    from .firewall import nft, nft_messages

    channel, watch = NetlinkChannel(nft_messages.PROTOCOL), NetlinkChannel(nft_messages.PROTOCOL, nft_messages.GROUPS)
    watch.ignore(channel)
    return nft.NftFirewall(channel, lans if settings.is_hairpin else None), _make_flows(), watch


def _make_flows():
    """Return what ends connections, or None where the kernel is too old or too small for it."""
    from .firewall import conntrack

    try:
        return conntrack.Flows(NetlinkChannel(conntrack.PROTOCOL))
    except FirewallError as error:
        log.warning("connections live on when their mapping ends (%s)" % error.text)
        return None


def _find_firewall():
    """Return what the router's own firewall speaks: nft where firewall4 is, iptables where its program is, else nft."""
    try:
        with open(_FIREWALL4):
            return "nft"
    except OSError:
        pass
    status, _ = run_program(["iptables-restore", "--noflush"], b"")  # does nothing with an empty input
    return "nft" if status == _CANNOT_START else "iptables"


class Supervisor:
    """The daemon."""

    def __init__(self, settings):
        self._settings = settings
        self._loop = Loop()
        wans = [settings.wan_device]
        if settings.wan_device6 not in (None, settings.wan_device):
            wans.append(settings.wan_device6)
        self._interfaces = Interfaces(settings.lan_devices + wans, not settings.is_ipv6_disabled)
        lans = [self._interfaces[name] for name in settings.lan_devices]
        wans = [self._interfaces[name] for name in wans]
        self._wan = Wan(wans[0], settings.upstream_bit_rate, settings.downstream_bit_rate, settings.external_ip,
                        settings.allows_private_address, settings.uses_system_uptime, wans[-1])
        known = neighbours.Neighbours(lambda: NetlinkChannel(neighbours.PROTOCOL))
        policy = Policy(settings.rules, settings.secure_mode, lans, lans + wans, known)
        self._leases = LeaseFile(settings.lease_path) if settings.lease_path else None
        self._leases6 = None
        if settings.lease_path6:
            self._leases6 = LeaseFile(settings.lease_path6, leases6.CLOCK_PATH, leases6.FORM)
        firewall, flows, self._watch = _make_firewall(settings, lans)
        if is_small():
            firewall.most_mappings = min(firewall.most_mappings, _SMALL_MAPPINGS)
            firewall.most_pinholes = min(firewall.most_pinholes, _SMALL_PINHOLES)
        self._gateway = Gateway(MappingTable(firewall.most_mappings), firewall, self._wan, settings.max_lease_duration,
                                self._leases, flows, policy, self._leases6, not settings.is_ipv6_disabled,
                                Hosts(known.find))
        self._basis = _UNKNOWN  # what the firewall's rules were made from
        self._lans = None  # Lans
        self._port_server = None  # PortServer, where NAT-PMP and PCP are served
        self._pause = Pause()
        self._administration = Administration(self._gateway, self._pause, self._project,
                                              lambda: self._lans.count_subscribers())
        self._channel = Channel(self._loop, self._administration.respond)
        self._resume = None  # Timer
        self._retry = None  # Timer
        self._firewall_retry = None  # Timer
        self._trouble = ""  # what the firewall could not do, as last said in the log
        self._lease_files = [(leases, table) for leases, table in (
            (self._leases, self._gateway.table), (self._leases6, self._gateway.pinholes.table)) if leases is not None]
        self._settling = []  # Timers
        self._settled_at = None  # the second at which the lease files were looked at last
        self._settled = _UNKNOWN  # which of them were changed then, as bits
        self._poll = None  # Timer
        self._expiry = None  # Timer
        self._expiry_at = None  # the second it is set for
        self._reports = NetlinkChannel(interfaces.PROTOCOL, self._interfaces.groups)
        self._ask_interfaces()

    def run(self):
        """Serve until SIGTERM or SIGINT; return the exit status."""
        for number in (SIGTERM, SIGINT):
            self._loop.on_signal(number, self._loop.stop)
        for number in (SIGHUP, SIGUSR1):
            self._loop.on_signal(number, self._refresh)
        self._loop.at_end_of_turn = self._end_turn
        self._reports.listen(self._loop, self._on_report)
        if self._watch is not None:
            self._watch.watch(self._loop, _CHECK_MS, self._check_firewall)
        log.set_clock(lambda: self._loop.now)
        log.info("miniigd %s started" % VERSION)
        self._pause.read(self._loop.now)
        self._administration.look(self._loop.now)
        self._gateway.is_paused = self._pause.is_on
        if self._pause.is_on:
            log.warning("paused: nothing opens until 'miniigd resume'%s" % (
                "" if self._pause.remaining(self._loop.now) is None else ", or the pause is over"))
        if self._leases is not None:
            self._gateway.restore(self._leases.read(), self._loop.now)
        if self._leases6 is not None:
            self._gateway.pinholes.restore(self._leases6.read(), self._loop.now)
        self._project()
        self._open_lans()
        self._follow()
        self._channel.open()
        capabilities.drop(self._gateway.firewall.name == "iptables", self._settings.port)
        self._loop.call_later(_TIDY_MS, self._tidy)
        self._loop.run()
        self._channel.close()
        if self._leases is not None:
            # Where somebody, LuCI for one, changed the file and starts us anew to read it, that counts.
            self._follow_leases()
        for leases, table in self._lease_files:
            if leases.is_pending:
                leases.write(table, self._loop.now, self._loop.now_ms)
        self._lans.close()
        if self._port_server is not None:
            self._port_server.close()
        try:
            self._gateway.firewall.close()
        except FirewallError as error:
            log.error(error.text)
        log.info("stopped")
        log.set_clock(None)
        return 0

    def _tidy(self):
        """Do what nobody who asks is to wait for."""
        self._gateway.firewall.prepare()
        gc.collect()

    def _ask_interfaces(self):
        """Learn the present state of the interfaces."""
        self._interfaces.forget()
        channel = NetlinkChannel(interfaces.PROTOCOL, is_brief=True)
        try:
            for message in self._interfaces.requests():
                for datagram in channel.transact(message, interfaces.is_answered):
                    self._interfaces.receive(datagram)
        finally:
            channel.close()

    def _on_report(self, datagram):
        """The kernel reports a change of an interface; None: reports were lost."""
        if datagram is None:
            self._look_again()
            return
        try:
            if self._interfaces.receive(datagram):
                self._follow()
        except MemoryError:
            self._retry_look()  # it is lost
            raise

    def _retry_look(self):
        self._loop.cancel(self._retry)
        self._retry = self._loop.call_later(_RETRY_MS, self._look_again)

    def _look_again(self):
        """Learn the interfaces anew, and make everything agree with them."""
        self._retry_look()  # unless this succeeds: memory may run out, too
        try:
            self._ask_interfaces()
        except FirewallError as error:
            log.error(error.text)
            return
        self._follow()
        self._loop.cancel(self._retry)

    def _follow(self):
        """Make everything agree with the interfaces' present state."""
        self._wan.update(self._loop.now)
        if self._wan.index and self._gateway.firewall.basis() != self._basis:
            self._project()
        self._gateway.pinholes.close_gone()
        self._lans.follow()
        if self._port_server is not None:
            self._port_server.follow()

    def _refresh(self):
        """A person or a script asks us to look again (SIGHUP, SIGUSR1): nothing is lost by it."""
        self._basis = _UNKNOWN
        self._look_again()

    def _project(self):
        """Find the firewall and make it hold exactly the table's mappings; try again later if it cannot."""
        self._loop.cancel(self._firewall_retry)
        self._firewall_retry = self._loop.call_later(_RETRY_MS, self._project)  # unless this succeeds
        try:
            self._gateway.firewall.open(self._wan)
            self._gateway.sync(self._loop.now)
            self._basis = self._gateway.firewall.basis()
            self._trouble = ""
            self._gateway.pinholes.forget_unsupported()
            self._loop.cancel(self._firewall_retry)
        except FirewallError as error:
            if error.text != self._trouble:  # once, not at each try
                self._trouble = error.text
                log.error(error.text)

    def _check_firewall(self):
        """Somebody else changed the firewall: if that is about our rules, put them back."""
        gateway = self._gateway
        try:
            if self._leases is not None:
                self._follow_leases()  # an older LuCI takes the rule out, and the line
            if gateway.is_intact():
                return
        except FirewallError as error:
            log.error(error.text)
        log.warning("the firewall was changed by somebody else: putting our rules back")
        self._project()

    def _arm_poll(self):
        """Have a timer look at a firewall that tells nobody of changes, as long as something is open."""
        if self._poll is None and self._gateway.firewall.is_polled and self._gateway.has_open:
            self._poll = self._loop.call_later(_POLL_MS, self._look_at_firewall)

    def _look_at_firewall(self):
        self._poll = None
        self._check_firewall()

    def _end_turn(self):
        """Do what follows from the changes of a turn of the loop."""
        due = self._gateway.next_expiry
        if self._gateway.is_stale:
            self._clean(due)
        if due != self._expiry_at:
            self._arm_expiry(due)
        self._arm_poll()
        self._arm_resume()
        log.tell_left_out()
        self._settle()
        self._lans.look()
        if self._port_server is not None:
            self._port_server.look()

    def _settle(self):
        """Let the lease files follow the tables, soon."""
        loop = self._loop
        if self._changed_files() == self._settled and self._settled_at == loop.now:
            return  # the timers are set; only the clock can have jumped: that is looked for once a second
        self._settled, self._settled_at = _UNKNOWN, loop.now  # memory may run out
        for timer in self._settling:
            loop.cancel(timer)
        self._settling = []
        for leases, table in self._lease_files:
            wait_ms = leases.wait_ms(loop.now_ms)
            if wait_ms == 0:
                if leases is self._leases:
                    self._follow_leases()
                leases.write(table, loop.now, loop.now_ms)
                wait_ms = leases.wait_ms(loop.now_ms)
            if wait_ms is not None:
                self._settling.append(loop.call_later(wait_ms, self._unsettle))
        self._settled = self._changed_files()

    def _changed_files(self):
        """Return which lease files are to be written, as bits."""
        changed = 0
        for leases, _ in self._lease_files:
            changed = 2 * changed + leases.is_changed
        return changed

    def _unsettle(self):
        self._settled = _UNKNOWN  # what is to be done is done at the end of the timer's turn

    def _follow_leases(self):
        """A line that somebody took out of the lease file is a port that he wants closed."""
        if self._leases.is_foreign():
            self._gateway.keep_only(self._leases.read(), self._loop.now)

    def _clean(self, due):
        """Make the firewall anew where something may be left in it, once for all that ends now."""
        if due is None or due > self._loop.now:
            self._gateway.is_stale = False
            self._project()

    def _arm_expiry(self, due):
        """Have a timer run when the next lease ends."""
        self._loop.cancel(self._expiry)
        self._expiry_at = None
        if due is not None:
            self._expiry = self._loop.call_later(due * 1000 - self._loop.now_ms, self._expire)
            self._expiry_at = due

    def _arm_resume(self):
        """Have a timer look whether a pause is over, where it is to end by itself."""
        if self._resume is None and not self._pause.is_on:
            return
        wait_ms = self._pause.wait_ms(self._loop.now_ms)
        self._loop.cancel(self._resume)
        self._resume = None
        if wait_ms is not None:
            self._resume = self._loop.call_later(wait_ms, lambda: self._administration.look(self._loop.now))

    def _expire(self):
        self._expiry_at = None
        self._gateway.expire(self._loop.now)

    def _open_lans(self):
        settings = self._settings
        first = self._interfaces[settings.lan_devices[0]]
        uuid = settings.uuid or config.uuid_of_mac(first.mac if len(first.mac) == 6 else bytes(6))
        device = Device(uuid, (1,) if settings.is_igdv1_only else (1, 2), is_ppp(settings.wan_device), (
            settings.friendly_name, settings.model_number, settings.serial_number), settings.presentation_url)
        self._gateway.default_connection_services = {
            version: device.default_connection_service(version) for version in device.versions}
        lans = [self._interfaces[name] for name in settings.lan_devices]
        if not settings.serves_upnp:
            log.warning("UPnP is switched off (enable_upnp, enable_protocols)%s" % (
                "" if settings.serves_pcp else ": nothing is served"))
        self._lans = Lans(self._loop, lans if settings.serves_upnp else [], settings.port, device, self._gateway,
                          settings.notify_interval)
        if settings.serves_pcp:
            self._loop.call_later(0, self._open_port_server)  # in a turn of its own: the device is served before

    def _open_port_server(self):
        from .port_server import PortServer

        if self._port_server is None:  # memory may run out, then this comes again
            lans = [self._interfaces[name] for name in self._settings.lan_devices]
            self._port_server = PortServer(self._loop, lans, self._gateway, self._settings.allows_third_party)
        self._port_server.follow()
