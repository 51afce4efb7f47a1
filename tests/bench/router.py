"""The emulated router with its instruments: one boot in which each daemon is started, measured and stopped in turn.

Instructions are counted (QEMU's -icount): a millisecond of CPU time is 125,000 instructions, and the CPU time that the
kernel accounts for a process repeats. Client, packets and files are read from outside, so that nothing else runs on the
router's one core.

    with BenchRouter(binary) as bench:
        with bench.running(daemons.MINIIGD) as run:
            run.cpu_ms()
"""

import contextlib
import re
import shutil
import socket
import threading
import time

from package import ipk, kit
from package.toolchain import MIPS32, toolchain
from qemu import image, machine
from qemu.lab import LAN_HOST, LAN_ROUTER, Lab

import client
import daemons
import packets

_NAME = "bench"  # of the router's folder: another debian router may run meanwhile
_FILES_PORT, _ECHO_PORT, _MARK_PORT = 4001, 4002, 4003
_CONNTRACK = 65536  # entries; the kernel's own limit would be full of what the many short connections leave
_START_SECONDS = 60
_TICKS = 100  # a second, in /proc/PID/stat
_COMMAND_SECONDS = 180  # of the host, whose cores may be busy
_AGENT = kit.TOP / "tests/bench/agent.c"


def agent():
    """Return the path of the bench's own program for the router."""
    tools, path = toolchain(MIPS32), kit.BUILD / "bench" / "agent"

    def build():
        path.parent.mkdir(parents=True, exist_ok=True)
        kit.run([tools.cc, "-Os", "-Wall", "-Werror", "-o", path, _AGENT])

    return kit.product(path, [_AGENT, tools.identity], build)


def _disk(files):
    """Return the path of a root for the router with programs in /bench; `files` is {name: path}.

    They are in the squashfs, as on a router: their text is backed by a file.
    """
    folder = kit.BUILD / "bench" / "bench"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, path in files.items():
        shutil.copy(path, folder / name)
    disk = kit.BUILD / "bench" / "root.squashfs"
    shutil.copy(image.image("debian").disk, disk)
    # behind what is there, in the same file
    kit.run(["mksquashfs", folder, disk, "-keep-as-directory", "-all-root", "-no-xattrs", "-no-progress",
             "-no-recovery"])
    return disk


class BenchRouter:
    """The booted router. `binaries` is {name: path} of builds of the daemon, put on the router in /bench."""

    def __init__(self, binaries, words=()):
        dump = machine.folder_of(_NAME) / "lan.pcap"
        dump.unlink(missing_ok=True)
        self.lab = Lab("debian", icount=True, name=_NAME, disk=_disk({"agent": agent(), **binaries}),
                       words=["-object", "filter-dump,id=dump,netdev=n0,file=%s,maxlen=128" % dump, *words])
        self.dump = packets.Dump(dump)
        self._ask = None

    def __enter__(self):
        self.lab.__enter__()
        try:
            self._prepare()
        except BaseException:
            self.lab.close()
            raise
        return self

    def __exit__(self, *_):
        if self._ask:
            self._ask.close()
        self.lab.close()

    def _prepare(self):
        self.check("echo %d >/proc/sys/net/netfilter/nf_conntrack_max" % _CONNTRACK)
        self.check("opkg install %s" % self.lab.serve(ipk.ipk()))
        self.check("/etc/init.d/miniupnpd stop; fw4 reload")
        self.background("/bench/agent files %d" % _FILES_PORT)
        self._ask = self.lab.lan.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        self._ask.connect((LAN_ROUTER, _FILES_PORT))
        self._ask.settimeout(1)
        while not self.file("/proc/uptime"):
            time.sleep(0.1)

    def check(self, command):
        """Run a command on the router that must succeed, and return its output; it has time."""
        return self.lab.router.check(command, timeout=_COMMAND_SECONDS)

    def background(self, command):
        """Start a command on the router that lives on; return its process id (of a pipe: the last one's)."""
        return int(self.check("%s </dev/null >/dev/null 2>&1 & echo $!" % command))

    def raw_file(self, path):
        """Return the bytes of a (small) file of the router; none if it is not there."""
        for _ in range(30):
            self._ask.send(path.encode())
            with contextlib.suppress(TimeoutError, ConnectionRefusedError):
                return self._ask.recv(65536)
        raise kit.Stop("the bench's agent on the router does not answer")

    def file(self, path):
        """Return what is in a (small) file of the router, as text; empty if there is none."""
        return self.raw_file(path).decode()

    def cpu_ms(self, pid):
        """The CPU time that a process took so far, in milliseconds of 125,000 instructions."""
        return int(self.file("/proc/%d/schedstat" % pid).split()[0]) / 1e6

    def inside(self, function, *arguments):
        """Call a function in the LAN's namespace."""
        return self.lab.lan.call(function, *arguments)

    @contextlib.contextmanager
    def echo(self):
        """The bare TCP exchange's server; yields (pid, port)."""
        pid = self.background("/bench/agent echo %d" % _ECHO_PORT)
        time.sleep(1)  # until it listens
        try:
            yield pid, _ECHO_PORT
        finally:
            self.check("kill %d" % pid)

    @contextlib.contextmanager
    def running(self, daemon, look=None):
        """A Run of `daemon`: prepared, started, and cleaned up after at the end; `look` as in Run.start."""
        self.check(daemon.prepare)
        run = Run(self, daemon)
        try:
            run.start(look)
            yield run
        finally:
            run.stop()
            self.lab.router.run(daemon.clean, timeout=_COMMAND_SECONDS)


class Run:
    """A running daemon: `pid`, `start_ms` from exec to the end of the first answer, `start_cpu_ms` up to then."""

    def __init__(self, bench, daemon):
        self.bench, self.daemon = bench, daemon
        self.pid = self.start_ms = self.start_cpu_ms = None

    def start(self, look=None):
        """Start it and wait for its first answer, asking for the description every 2 ms.

        Right before the program begins and right behind the answer, look() is called.
        """
        bench, daemon = self.bench, self.daemon
        bench.dump.skip()
        log = "" if daemon.program.startswith("/usr/sbin/miniupnpd") else " 2>&1 | logger -t miniigd -p daemon.info"
        command = "/bench/agent start %s %d %s %s%s" % (LAN_HOST, _MARK_PORT, daemon.program, daemon.arguments, log)
        shell = threading.Thread(target=bench.background, args=(command,), daemon=True)  # its prompt comes later
        with bench.inside(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as mark:
            mark.bind((LAN_HOST, _MARK_PORT))
            mark.settimeout(_COMMAND_SECONDS)
            shell.start()
            self.pid = int(mark.recv(16))
        if look:
            look()
        bench.inside(self._await_answer)
        if look:
            look()
        found = bench.file("/proc/%d/schedstat" % self.pid)
        shell.join()
        alive = [int(word) for word in bench.check("pidof %s" % daemon.program.rsplit("/", 1)[1]).split()
                 if not re.search(r"^State:\s+Z", bench.file("/proc/%s/status" % word), re.M)]
        if self.pid not in alive:  # it went on as a process of its own
            self.pid = alive[-1]
            found = bench.file("/proc/%d/schedstat" % self.pid)
        self.start_cpu_ms = int(found.split()[0]) / 1e6
        self.start_ms = bench.dump.since_mark(_MARK_PORT, daemons.PORT)

    def _await_answer(self):
        request, limit = client.get("/rootDesc.xml", daemons.PORT), time.monotonic() + _START_SECONDS
        while True:
            try:
                client.check(client.exchange(daemons.PORT, request, timeout=5))
                return
            except (OSError, client.Refused) as error:
                if time.monotonic() > limit:
                    raise kit.Stop("%s does not answer (%s): %s" % (
                        self.daemon.name, error, self.bench.lab.router.run("logread | tail -5").output)) from None
            time.sleep(0.002)

    def cpu_ms(self):
        """CPU time so far, in milliseconds at 125 million instructions a second."""
        return self.bench.cpu_ms(self.pid)

    def stop(self):
        """End it, and wait until it is gone."""
        if self.pid is not None:
            self.bench.check("kill %d; while [ -d /proc/%d ]; do sleep 0.1; done" % (self.pid, self.pid))
            self.pid = None

    def memory(self):
        """Return {name: kB} of its resident memory: RSS, RssAnon, RssFile, PSS, VmHWM and the like."""
        status = self.bench.file("/proc/%d/status" % self.pid)
        smaps = self.bench.file("/proc/%d/smaps_rollup" % self.pid)
        found = dict(re.findall(r"^(VmRSS|VmHWM|RssAnon|RssFile|RssShmem):\s+(\d+) kB", status, re.M))
        found.update(re.findall(r"^(Pss|Private_Clean|Private_Dirty):\s+(\d+) kB", smaps, re.M))
        return {name: int(value) for name, value in found.items()}

    def age(self):
        """Seconds of the router since the program began."""
        started = int(self.bench.file("/proc/%d/stat" % self.pid).rpartition(")")[2].split()[19]) / _TICKS
        return float(self.bench.file("/proc/uptime").split()[0]) - started

    def wake_ups(self):
        """How often it went to sleep of its own accord so far."""
        return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", self.bench.file("/proc/%d/status" % self.pid),
                             re.M)[1])
