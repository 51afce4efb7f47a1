"""The router between its networks: the emulated machine with two LANs and a WAN, each a network namespace of its own.

      lan namespace                     router                      wan namespace
    192.168.1.2, .3 --- eth0 192.168.1.1 | 11.0.0.2 eth1 --- 11.0.0.1, 11.0.0.3
      guest namespace                    |
        192.168.2.2 --- eth2 192.168.2.1 |

IPv6 is routed between the same networks, without translation: 2a00:11:0:1::/64 is the LAN, :2: the guests', :f: the WAN.

    with Lab("wrt") as lab:
        lab.router.check("fw4 reload")
        lab.lan.run(["ping", "-c1", "192.168.1.1"])
        listener = lab.lan.call(socket.create_server, ("192.168.1.2", 8080))
        link = lab.wan.call(socket.create_connection, ("11.0.0.2", 8080), 5)

Nothing is changed in the machine's own network, and nothing is left behind: the namespaces live as long as the
processes that hold them, which end with the one that made the Lab. Works as root and inside `unshare -rnm`.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import termios
import threading
import time
import tty
from pathlib import Path

from package import kit
from qemu import machine
from qemu.machine import Machine

LAN_HOST, LAN_HOST2, LAN_ROUTER = "192.168.1.2", "192.168.1.3", "192.168.1.1"
GUEST_HOST, GUEST_ROUTER = "192.168.2.2", "192.168.2.1"  # a second LAN
# A public-looking network: the incumbent refuses to work behind private and documentation addresses.
WAN_HOST, WAN_HOST2, WAN_ROUTER = "11.0.0.1", "11.0.0.3", "11.0.0.2"
# Public-looking too: nobody opens a pinhole for an address that the Internet does not route.
LAN_HOST_6, LAN_HOST2_6, LAN_ROUTER_6 = "2a00:11:0:1::2", "2a00:11:0:1::3", "2a00:11:0:1::1"
GUEST_HOST_6, GUEST_ROUTER_6 = "2a00:11:0:2::2", "2a00:11:0:2::1"
WAN_HOST_6, WAN_HOST2_6, WAN_ROUTER_6 = "2a00:11:0:f::1", "2a00:11:0:f::3", "2a00:11:0:f::2"

_CLONE_NEWNET = 0x40000000
_PROGRAMS = "ip nsenter unshare qemu-system-mipsel".split()


class Namespace:
    """A network namespace, kept by a sleeping process; "inside" means: with that network, all else as it is here."""

    def __init__(self, name):
        self.name = name
        self._children = []
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, start_new_session=True,  # no Ctrl-C of ours
                                        preexec_fn=machine.die_with_parent)
        self.pid = self._holder.pid
        limit = time.monotonic() + 10
        while os.readlink("/proc/%d/ns/net" % self.pid) == os.readlink("/proc/self/ns/net"):
            if self._holder.poll() is not None or time.monotonic() > limit:
                reason = self._holder.stderr.read().decode().strip() if self._holder.poll() is not None else "too slow"
                self.close()
                raise kit.Stop("cannot make a network namespace (%s): run as root, or within 'unshare -rnm'" % reason)
            time.sleep(0.01)
        self.enter = enter(self.pid)
        self.ip("link", "set", "lo", "up")

    def ip(self, *words):
        """Configure it: one call of the program ip."""
        kit.run(self.enter + ["ip", *words])

    def run(self, argv, timeout=30, check=False, **options):
        """Run a program inside; as subprocess.run, with captured text, and Stop when it is not done in time."""
        options = {"stdin": subprocess.DEVNULL, "text": True, "errors": "replace"} | options
        if "input" in options:
            del options["stdin"]
        if not options.keys() & {"stdout", "stderr", "capture_output"}:
            options["capture_output"] = True
        try:
            done = subprocess.run(self.enter + [str(word) for word in argv], timeout=timeout,
                                  preexec_fn=machine.die_with_parent, **options)
        except subprocess.TimeoutExpired:
            raise kit.Stop("not done after %d s in %s: %s" % (timeout, self.name, " ".join(map(str, argv)))) from None
        if check and done.returncode:
            raise kit.Stop("status %d in %s from: %s\n%s%s" % (
                done.returncode, self.name, " ".join(map(str, argv)), done.stdout or "", done.stderr or ""))
        return done

    def popen(self, argv, **options):
        """Start a program inside; as subprocess.Popen. It is ended with the lab at the latest."""
        options = {"stdin": subprocess.DEVNULL} | options
        child = subprocess.Popen(self.enter + [str(word) for word in argv], preexec_fn=machine.die_with_parent,
                                 **options)
        self._children.append(child)
        return child

    def python(self, code, *arguments, **options):
        """Run Python source inside, in a process of its own; see run."""
        return self.run([sys.executable, "-c", code, *arguments], **options)

    def call(self, function, *arguments, **named):
        """Call a function inside and return its result: sockets it opens stay inside and can be used from here.

        It runs in a thread of its own, so it must not start programs (they would end with that thread).
        """
        outcome = []

        def work():
            try:
                with open("/proc/%d/ns/net" % self.pid) as handle:
                    if machine.libc.setns(handle.fileno(), _CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                outcome.append((function(*arguments, **named), None))
            except BaseException as error:  # everything is handed to the caller
                outcome.append((None, error))

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join()
        result, error = outcome[0]
        if error:
            raise error
        return result

    def close(self):
        """End what was started inside, then the holder; the kernel removes the namespace."""
        for child in self._children + [self._holder]:
            if child.poll() is None:
                child.terminate()
        for child in self._children + [self._holder]:
            try:
                child.wait(3)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._children = []


class Lab:
    """A router of `model` with its networks: `router` (Machine), `lan`, `guest` and `wan` (Namespace).

    A context manager, to be made in a thread that lives as long as the lab, as the main thread does. Options go to
    Machine.
    """

    def __init__(self, model, **options):
        self.model, self._options = model, options
        self._name = options.get("name") or model
        self.router = self.lan = self.guest = self.wan = self._middle = None
        self._lock = None
        self._servers = []

    def __enter__(self):
        check_preconditions()
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def _start(self):
        self._lock = _only_one(self._name)
        self.lan, self.wan, self.guest = Namespace("lan"), Namespace("wan"), Namespace("guest")
        self._middle = Namespace("router")
        taps = {"lan": self.lan, "wan": self.wan, "guest": self.guest}  # in the order of the router's eth0, eth1, eth2
        for name in taps:
            self._middle.ip("tuntap", "add", "dev", name, "mode", "tap")
        self.router = Machine(self.model, list(taps), self._middle.enter, **self._options)
        self.router.start(attached=lambda: self._connect(taps))
        _state_file(self._name).write_text(json.dumps({
            "model": self.model, "lab": os.getpid(), "qemu": self.router.pid,
            "lan": self.lan.pid, "guest": self.guest.pid, "wan": self.wan.pid,
            "shell": str(self.router.shell), "console": str(self.router.console)}))

    def _connect(self, taps):
        """Move the taps, which QEMU holds now, to where they belong: frames flow on over its file descriptors."""
        for name, space in taps.items():
            self._middle.ip("link", "set", name, "netns", str(space.pid))
            space.ip("link", "set", name, "name", "eth0")
        for space, addresses, addresses6 in (
                (self.lan, (LAN_HOST, LAN_HOST2), ("fe80::2", LAN_HOST_6, LAN_HOST2_6)),
                (self.guest, (GUEST_HOST,), ("fe80::2", GUEST_HOST_6)),
                (self.wan, (WAN_HOST, WAN_HOST2), ("fe80::1", WAN_HOST_6, WAN_HOST2_6))):
            # The kernel would make a link-local address of its own, and wait a second before it can be used.
            space.ip("link", "set", "eth0", "addrgenmode", "none")
            for address in addresses:
                space.ip("address", "add", address + "/24", "dev", "eth0")
            space.ip("link", "set", "eth0", "up")
            for address in reversed(addresses6):  # of several, the last that came is what connections come from
                space.ip("address", "add", address + "/64", "dev", "eth0", "nodad")
        for space, router, router6 in (self.lan, LAN_ROUTER, LAN_ROUTER_6), (self.guest, GUEST_ROUTER, GUEST_ROUTER_6):
            space.ip("route", "add", "default", "via", router)
            space.ip("route", "add", "239.0.0.0/8", "dev", "eth0")  # SSDP stays on the link, it is not routed
            space.ip("-6", "route", "add", "default", "via", router6)
        for network in "192.168.1.0/24", "192.168.2.0/24":
            self.wan.ip("route", "add", network, "via", WAN_ROUTER)  # as a hostile neighbour would
        for network in "2a00:11:0:1::/64", "2a00:11:0:2::/64":
            self.wan.ip("-6", "route", "add", network, "via", WAN_ROUTER_6)  # as the provider does

    def serve(self, path):
        """Serve a file, or a folder's files, over HTTP on the LAN as long as the lab lives; return its URL."""
        path = Path(path)
        listener = self.lan.call(socket.create_server, (LAN_HOST, 0))
        self._servers.append(listener)
        threading.Thread(target=_serve, args=(listener, path), daemon=True).start()
        return "http://%s:%d/%s" % (LAN_HOST, listener.getsockname()[1], path.name)

    def close(self):
        """End everything this lab started."""
        with contextlib.suppress(OSError, ValueError):
            if json.loads(_state_file(self._name).read_text())["qemu"] == (self.router and self.router.pid):
                _state_file(self._name).unlink()
        for listener in self._servers:
            listener.close()
        self._servers = []
        for part in self.router, self.lan, self.guest, self.wan, self._middle:
            if part:
                part.stop() if part is self.router else part.close()
        self.router = self.lan = self.guest = self.wan = self._middle = None
        if self._lock:
            self._lock.close()
            self._lock = None


def _serve(listener, path):
    """Answer with the file, or one of the folder. (http.server asks for host names, which takes long without DNS.)"""
    while True:
        try:
            link = listener.accept()[0]
        except OSError:
            return  # the lab is closing
        with link, contextlib.suppress(OSError):
            link.settimeout(20)
            request = b""
            while b"\r\n\r\n" not in request:
                part = link.recv(4096)
                if not part:
                    break
                request += part
            wanted = request.split(b" ", 2)[1:2]
            files = {one.relative_to(path.parent).as_posix(): one for one in (path, *path.rglob("*"))}
            try:
                data, status = files[wanted[0].decode()[1:]].read_bytes(), "200 OK"
            except (OSError, LookupError):
                data, status = b"", "404 Not Found"
            link.sendall(("HTTP/1.0 %s\r\nContent-Length: %d\r\nContent-Type: application/octet-stream\r\n\r\n"
                          % (status, len(data))).encode() + data)


def check_preconditions():
    """Stop, with what to do about it, when a lab cannot run here."""
    for program in _PROGRAMS:
        if not shutil.which(program):
            raise kit.Stop("the program %s is missing: run 'make setup'" % program)
    if os.geteuid():
        raise kit.Stop("the router lab needs root for its networks: run 'sudo make run', or 'unshare -rnm make run'")
    device = "/dev/net/tun"
    if not os.path.exists(device):
        raise kit.Stop("%s is missing, QEMU's network cards need it: run 'modprobe tun' as root" % device)
    try:
        os.close(os.open(device, os.O_RDWR))
    except OSError as error:
        raise kit.Stop("%s cannot be opened (%s): run 'chmod 666 %s' as root, or use real root (sudo) instead of "
                       "unshare" % (device, error.strerror, device)) from None


def _only_one(name):
    """Hold the lock of this name's files, or Stop: a second router of the same name would overwrite them."""
    folder = machine.folder_of(name)
    folder.mkdir(parents=True, exist_ok=True)
    lock = open(folder / "lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise kit.Stop("a %s router is running already (see %s): end that one first"
                       % (name, _state_file(name))) from None
    return lock


def _state_file(name):
    return machine.folder_of(name) / "lab.json"


# --- Entering a running lab from another process


def running():
    """Return what lab.json says about the lab that was started last and still runs; Stop when none does."""
    found = []
    for path in (kit.BUILD / "router").glob("*/lab.json"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            state = json.loads(path.read_text())
            for name in "qemu", "lan", "wan":
                os.readlink("/proc/%d/ns/net" % state[name])  # fails for a process that is gone or not yet reaped
            found.append((path.stat().st_mtime, state))
    if not found:
        raise kit.Stop("no router is running: start one with 'make run' in another terminal")
    return max(found, key=lambda entry: entry[0])[1]


def enter(pid):
    """Return the words that run a program in the network of process `pid` (and in its user namespace)."""
    words = ["nsenter", "--target", str(pid), "--net"]
    if os.readlink("/proc/%d/ns/user" % pid) != os.readlink("/proc/self/ns/user"):
        words += ["--user", "--preserve-credentials"]
    return words + ["--"]


def shell_lan():
    """Become a shell on the LAN side of the running lab."""
    _shell("lan")


def shell_wan():
    """Become a shell on the WAN side of the running lab."""
    _shell("wan")


def _shell(side):
    state = running()
    print("A shell on the %s of the %s router; exit leaves it." % (side.upper(), state["model"]), flush=True)
    argv = enter(state[side]) + [os.environ.get("SHELL") or "/bin/sh"]
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        raise kit.Stop("cannot run %s: %s" % (argv[0], error.strerror)) from None


def shell_router():
    """Connect this terminal with the shell on the router; Ctrl-] leaves."""
    state = running()
    try:
        link = machine.connect_unix(Path(state["shell"]))
    except OSError as error:
        raise kit.Stop("the router's shell cannot be reached (%s)" % error.strerror) from None
    print("The shell of the %s router; Ctrl-] leaves it." % state["model"], flush=True)
    with link:
        # QEMU serves one caller at a time and lets the next one wait; Enter shows the prompt again.
        link.sendall(b"\n")
        _relay(link, sys.stdin.fileno(), sys.stdout.fileno())
    print("\nLeft the router.", flush=True)


def _relay(link, source, target):
    """Copy keys to the router and its answers back, until Ctrl-], the end of input, or the router's end."""
    before = termios.tcgetattr(source) if os.isatty(source) else None
    watched = [source, link]
    try:
        if before:
            tty.setraw(source)
        while True:
            # At the end of input that is no terminal, wait a moment for the last answer.
            ready = select.select(watched, [], [], None if source in watched else 1)[0]
            if not ready:
                return
            if source in ready:
                keys = os.read(source, 4096)
                if b"\x1d" in keys:
                    return
                if keys:
                    link.sendall(keys)
                else:
                    watched.remove(source)
            if link in ready:
                data = link.recv(65536)
                if not data:
                    return
                os.write(target, data)
    finally:
        if before:
            termios.tcsetattr(source, termios.TCSADRAIN, before)
