"""Soak the router: many hosts ask for everything there is, in every dialect, while everything that can happens to it.

    python tests/soak/soak.py --model debian --seconds 600 [--seed 7]    # or: make soak MODEL=... SECONDS=... SEED=...

What is done, and in which order, is a function of the seed alone (plan.py); how far that gets is a matter of the clock.
Every step is a line of build/soak-SEED.log. At the end, and now and then before, the table, the lease files, the
kernel's rules and what every client was promised (promises.py) must agree, packets from the WAN must say the same, and
when everybody has given everything back, nothing may be open, and the daemon's memory must be where it was. The last
part of the time has no kills: its first half is the warm-up for that, and the second is compared with it. The exit
status is 1 where something disagreed; each such thing is printed when it is seen.
"""

import argparse
import concurrent.futures
import random
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
for _folder in TOP, TOP / "src", TOP / "tests" / "router", TOP / "tests" / "soak":
    sys.path.insert(0, str(_folder))

import plan  # noqa: E402
import test_ipv6_pinholes  # noqa: E402
from audit import Audit  # noqa: E402
from clock import RouterClock  # noqa: E402
from harm import Harm  # noqa: E402
from hosts import Host, NotAsked, Unanswered, inners  # noqa: E402
from load import Load  # noqa: E402
from probes import Probes  # noqa: E402
from promises import Promises  # noqa: E402
from subscribers import Events  # noqa: E402

from package import kit  # noqa: E402

# (hosts, leases of one in a storm): with iptables each change is a process, and 16 MB hold so many mappings only
SIZES = {"debian": (24, 20), "wrt": (12, 8)}
# What the router's kernel is told meanwhile, in /proc/sys/net/netfilter. All of these hosts' requests together are
# thousands of connections, which a router of 16 MB cannot remember for two minutes each.
SETTINGS = {"nf_conntrack_max": 4096, "nf_conntrack_tcp_timeout_time_wait": 5}
_SET = "cd /proc/sys/net/netfilter; "
# Parts of the time: the first without disturbances, the last two without kills and restarts.
_CALM, _WARM_UP, _SAME = 0.1, 0.2, 0.2
# RssAnon may be so much more at the end, in kB: the heap grows by whole pieces where no gap is long enough for what did
# not happen to be asked for before.
ALLOWED_GROWTH = 256
_PATIENCE = 60  # seconds for an answer when all is quiet, on a machine that is not
_IDLE = 3  # seconds of rest before memory is looked at
_LINGERS = 3  # seconds in which the daemon closes a connection that is over
_CLOSES = 30  # seconds for the connections of clients that left to be closed
_LOG_LINES = 300  # of the router's log, kept where something disagreed
_TICK = 10  # seconds between two lines of progress, where they are not on a terminal


class World:
    """A router with its daemon (`client`: test_daemon.Client), the hosts that ask it, and what is known about both."""

    def __init__(self, client, seed, log):
        self.lab, self.reader, self._log = client.lab, client, log
        self.seed = seed
        self.disagreements = []
        self.has_nft = client.demo.has_nft()
        count, self.storm = SIZES[self.lab.model]
        self.mappings, self.pinholes = Promises(), Promises()
        self.harm, self.clock = Harm(self), RouterClock(self)
        self.hosts = [Host(self, number) for number in range(count)]
        for host in self.hosts:
            self.lab.lan.ip("address", "add", host.host + "/24", "dev", "eth0")
            self.lab.lan.ip("address", "add", host.host6 + "/64", "dev", "eth0", "nodad")
        self.events, self.probes = Events(self), Probes(self)
        self.audit = Audit(self)
        self.load = Load(self, log)
        self._before = self.lab.router.check(_SET + "cat " + " ".join(SETTINGS)).split()
        self.lab.router.check(_settings(SETTINGS.values()))

    def close(self):
        """Leave the router and the LAN as they were."""
        self.load.close()
        self.events.close()
        self.probes.close()
        for host in self.hosts:
            self.lab.lan.ip("address", "del", host.host + "/24", "dev", "eth0")
            self.lab.lan.ip("address", "del", host.host6 + "/64", "dev", "eth0")
        self.lab.router.run("%s; date -s @%d; miniigd close-all" % (_settings(self._before), time.time()))

    def write(self, line):
        if line:
            self._log.write(line + "\n")

    def disagree(self, text):
        self.disagreements.append(text)
        line = "DISAGREES: " + text
        self.write(line)
        print(line, flush=True)

    def is_quiet(self, now):
        """True where nothing disturbs the router, nor did a short time ago."""
        return self.harm.is_quiet(now)

    def slowed(self, seconds):
        """The router's clock lost so many seconds: it stood still, and could not do what it should have."""
        now = time.monotonic()
        for promises in self.mappings, self.pinholes:
            promises.slowed(seconds)
        self.events.lag += seconds
        self.events.may_be_gone(now)
        self.harm.ended = max(self.harm.ended, now)
        self.write("%9.3f the router's clock lost %.1f s" % (now, seconds))

    def command(self, command, timeout=30):
        """Run a command on the router, again where it was not done in time: the emulator may have stood still."""
        for left in 2, 1, 0:
            try:
                return self.lab.router.run(command, timeout)
            except kit.Stop as stop:
                if not left or not str(stop).startswith("not done"):
                    raise
                self.write("again: %s" % stop)

    def answers(self):
        """True when the daemon answers."""
        try:
            return self.hosts[0].get("/rootDesc.xml").startswith("HTTP/1.1 200")
        except (NotAsked, Unanswered):
            return False

    def look(self):
        """Compare everything, when all has settled."""
        self.harm.real_time()
        return self.audit.look()

    def give_back(self):
        """Every host ends all that it was promised."""
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for _ in pool.map(self._give_back, self.hosts):
                pass

    def _give_back(self, host):
        for protocol in "TCP", "UDP":
            if host.keys_to(protocol, *inners("natpmp")):
                _until_answered(lambda protocol=protocol: host.do_natpmp_delete(protocol, 0, True))
        if host.keys_to(None, *inners("pcp")):
            _until_answered(lambda: host.do_pcp_delete("TCP", 0, True))
        for protocol in "TCP", "UDP":
            _until_answered(lambda protocol=protocol: host.delete_range(1, 65535, protocol))
        for key in self.pinholes.keys(host.host6, time.monotonic()):
            _until_answered(lambda key=key: _end_pinhole(host, key))
        for number in 0, 0:
            _until_answered(lambda: host.do_unsubscribe(number))

    def memory_at_rest(self):
        """Have everything given back, and return {name: kB} of the daemon."""
        if self.load.stop:
            return {}
        self.give_back()
        time.sleep(_IDLE)
        text = self.lab.router.check("cat /proc/$(pidof miniigd)/status")
        words = [line.split() for line in text.splitlines()]
        return {line[0][:-1]: int(line[1]) for line in words if line and line[0] in ("VmRSS:", "RssAnon:", "VmHWM:")}

    def open_files(self):
        return len(self.lab.router.check("ls /proc/$(pidof miniigd)/fd").split())


def _settings(values):
    """Return the command that sets SETTINGS to these values."""
    return _SET + "; ".join("echo %s >%s" % (value, name) for name, value in zip(SETTINGS, values))


def _until_answered(operation):
    limit = time.monotonic() + _PATIENCE
    while True:
        try:
            return operation()
        except (NotAsked, Unanswered):
            if time.monotonic() > limit:
                raise kit.Stop("nobody answers, although nothing disturbs the router any more") from None
            time.sleep(1)


def _end_pinhole(host, key):
    """Close a pinhole, whoever made it; where its number is not known, it is renewed to learn it."""
    host6, protocol, port, remote_host, remote_port = key
    sent = time.monotonic()
    for left in range(5, -1, -1):
        try:
            number = test_ipv6_pinholes.add(host, 60, host.host, port=port, host=host6, protocol=protocol,
                                            remote_host=remote_host, remote_port=remote_port)
            test_ipv6_pinholes.delete(host, number, host.host)
            break
        except test_ipv6_pinholes.Refused:  # the table of neighbours does not know it for the moment
            if not left:
                raise
            time.sleep(1)
    host.world.pinholes.granted(key, None, sent, time.monotonic())


def soak(client, seed, seconds, log, harm_every=plan.HARM_EVERY):
    """Soak the router of `client` for so many seconds, and what the comparisons take; return (World, report)."""
    world = World(client, seed, log)
    try:
        steps = plan.steps(seed, len(world.hosts), world.storm, harm_every)
        begun = time.monotonic()
        progress = _Progress(world, seconds)
        time.sleep(_LINGERS)
        files = world.open_files()
        world.harm.check_alive()
        world.load.run(steps, seconds * _CALM, False, progress)
        memory = [world.memory_at_rest()]
        world.load.run(steps, seconds * (1 - _CALM - _WARM_UP - _SAME), True, progress)
        world.harm.is_gentle = True
        last_life = time.monotonic()
        world.load.run(steps, seconds * _WARM_UP, True, progress)
        if world.load.stop is None:
            world.look()
        memory.append(world.memory_at_rest())
        world.load.run(steps, seconds * _SAME, True, progress)
        last_life = time.monotonic() - last_life
        if world.load.stop is None:
            with kit.step("Comparing everything"):
                world.look()
            with kit.step("Every host gives back what it has"):
                memory.append(world.memory_at_rest())
            with kit.step("Looking for what is left"):
                world.audit.nothing_is_left()
            grown = memory[-1]["RssAnon"] - memory[-2]["RssAnon"]
            if grown > ALLOWED_GROWTH:
                world.disagree("RssAnon has grown by %d kB, %d are allowed" % (grown, ALLOWED_GROWTH))
            limit = time.monotonic() + _CLOSES
            while (left := world.open_files()) != files and time.monotonic() < limit:
                time.sleep(1)
            if left != files:
                world.disagree("the daemon has %d open files, it had %d before" % (left, files))
            world.harm.check_alive()
        else:
            left = None
        if world.disagreements:
            world.write("The router's log:\n" + world.lab.router.run("logread | tail -n %d" % _LOG_LINES).output)
        return world, report(world, time.monotonic() - begun, memory, (files, left), last_life)
    finally:
        world.close()


class _Progress:
    """A line that says how far it is: in its place on a terminal, now and then elsewhere."""

    def __init__(self, world, seconds):
        self._world, self._seconds = world, seconds
        self._begun = time.monotonic()
        self._is_terminal = sys.stdout.isatty()
        self._next = self._begun + _TICK

    def __call__(self):
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (1 if self._is_terminal else _TICK)
        world = self._world
        line = "%4d of %d s: %d steps, %d disturbances, the daemon started anew %d times, %d disagreements" % (
            now - self._begun, self._seconds, world.load.done, sum(world.harm.counts.values()), world.harm.restarts,
            len(world.disagreements))
        print("\r" + line if self._is_terminal else line, end="" if self._is_terminal else "\n", flush=True)


def report(world, took, memory, files, last_life):
    """Return the final report, which stands on its own."""
    load, harm, audit = world.load, world.harm, world.audit
    lines = ["Soak of the %s router: seed %d, %d s, %d hosts, %d steps" % (
        world.lab.model, world.seed, took, len(world.hosts), load.done), "", "What hosts did, and what was answered:"]
    kinds = sorted({kind for kind, _ in load.tally if kind not in ("harm", "look")})
    for kind in kinds:
        answers = sorted(((answer, count) for (name, answer), count in load.tally.items() if name == kind),
                         key=lambda one: -one[1])
        if kind == "storm":
            granted = sum(int(answer.split()[0]) * count for answer, count in answers if answer.endswith(" granted"))
            lines.append("  %-16s %6d: %d leases granted" % (kind, sum(count for _, count in answers), granted))
        else:
            lines.append("  %-16s %6d: %s" % (kind, sum(count for _, count in answers), ", ".join(
                "%s %d" % one for one in answers)))
    lines += ["", "Disturbances: " + (", ".join("%s %d" % one for one in sorted(harm.counts.items())) or "none"),
              "The daemon was started anew %d times; the last %d s without a kill" % (harm.restarts, last_life),
              "The router's clock lost %.0f s: so long the emulator stood still" % world.clock.lag,
              "%d messages came to subscribers, %d were lost" % (world.events.notified, world.events.lost),
              "Compared %d times: up to %d mappings and %d pinholes; from the WAN %d ports found open, %d refused" % (
                  audit.looks, audit.most_mappings, audit.most_pinholes, audit.opened, audit.refused)]
    for name, figures in zip(("of the first life", "of the last life", "at its end"), memory):
        lines.append("Memory %s, nothing mapped: %s" % (name, ", ".join("%s %d kB" % one for one in figures.items())))
    lines += ["Open files before and after: %s and %s" % files,
              "Longest answer: %.2f s (%s), while disturbed %.2f s (%s)" % (load.worst + load.worst_disturbed),
              "Disagreements: %d" % len(world.disagreements)]
    return "\n".join(lines + ["  " + text for text in world.disagreements])


def main(arguments):
    parser = argparse.ArgumentParser(description="Soak miniigd on an emulated router.")
    parser.add_argument("--model", default="debian", choices=sorted(SIZES))
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0, help="of the plan; the default is another each time")
    options = parser.parse_args(arguments)
    from qemu import lab
    from test_daemon import Client

    seed = options.seed or random.randrange(1, 1 << 31)
    path = kit.BUILD / ("soak-%d.log" % seed)
    print("Seed %d, %d s on the %s router; every step is in %s" % (seed, options.seconds, options.model, path),
          flush=True)
    try:
        lab.check_preconditions()
        path.parent.mkdir(exist_ok=True)
        with lab.Lab(options.model) as router, open(path, "w", buffering=1) as log:
            client = Client(router)
            client.demo.install()
            world, text = soak(client, seed, options.seconds, log)
            log.write(text + "\n")
    except kit.Stop as stop:
        print("miniigd: %s" % stop)
        return 1
    print("\n" + text)
    return 1 if world.disagreements else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
