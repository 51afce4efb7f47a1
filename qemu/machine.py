"""The emulated router as a machine: one QEMU process, a console log and a channel for commands.

    machine = Machine("debian", ["tap0", "tap1"])
    machine.start()                       # a few seconds; Stop with the console's last lines when it does not come up
    machine.run("nft list ruleset")       # Result(status, output)
    machine.check("fw4 reload")           # the output; Stop when the status is not 0
    machine.stop()

Commands go over the router's second serial line to /usr/libexec/control, so they need no network and are possible
while the firewall lets nothing through. The third one is a shell for people (see lab.py).
"""

import contextlib
import ctypes
import os
import re
import secrets
import signal
import socket
import subprocess
import threading
import time
from collections import namedtuple

from package import kit
from qemu import image

Result = namedtuple("Result", "status output")

_BOOT_SECONDS = 60  # the slowest of two busy cores needs 15
_ICOUNT_SLOWNESS = 6  # one host second gives the guest less time when instructions are counted
_RECOVERY_SECONDS = 10
_READY = b"CTL READY\n"
_PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """For subprocess's preexec_fn: nothing started here outlives the thread that started it, not even by SIGKILL."""
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def connect_unix(path):
    """Return a socket connected to the UNIX socket `path`; the folder's length does not matter (sun_path: 108)."""
    folder = os.open(path.parent, os.O_PATH)
    try:
        link = socket.socket(socket.AF_UNIX)
        try:
            link.connect("/proc/self/fd/%d/%s" % (folder, path.name))
        except OSError:
            link.close()
            raise
        return link
    finally:
        os.close(folder)


def folder_of(name):
    """Where a running router of that name, which is its model's mostly, has its console log and its sockets."""
    return kit.BUILD / "router" / name


class Machine:
    """One router. `taps` become eth0, eth1, ...; `enter` is put before QEMU's command line (nsenter of lab.py).

    `icount` gives the guest a clock of its own, 8 ns per instruction: times measured inside are repeatable. `memory`
    (MB) and `disk` (a root like the image's) are the model's own unless given. `name` is its folder's, for a second one
    of the same model; `words` are more of QEMU's command line.
    """

    def __init__(self, model, taps=(), enter=(), icount=False, memory=None, disk=None, name=None, words=()):
        self.model, self.icount = model, icount
        self.image = image.image(model)
        self.memory, self._disk = memory or self.image.memory, disk or self.image.disk
        self.folder = folder_of(name or model)
        self.console = self.folder / "console.log"
        self.shell = self.folder / "shell.sock"
        self.boot_seconds = None
        self._taps, self._enter, self._words = taps, list(enter), list(words)
        self._process = self._channel = None
        self._pending = b""
        self._lock = threading.Lock()

    @property
    def pid(self):
        """QEMU's process id, or None."""
        return self._process.pid if self._process else None

    def start(self, attached=lambda: None):
        """Boot and wait until commands work. `attached` is called as soon as QEMU holds its taps."""
        begin = time.monotonic()
        with kit.step("Booting the %s router (%d MB); this takes a few seconds" % (self.model, self.memory)):
            try:
                self._launch()
                limit = begin + _BOOT_SECONDS * (_ICOUNT_SLOWNESS if self.icount else 1)
                self._open_channel(limit)
                attached()
                self._read_until(_READY, limit)
            except TimeoutError:
                self._give_up("is not up after %d s" % (time.monotonic() - begin))
            except BaseException:
                self.stop()
                raise
        self.boot_seconds = time.monotonic() - begin

    def _launch(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in "control.sock", "shell.sock", "console.log", "qemu.log":
            with contextlib.suppress(FileNotFoundError):
                (self.folder / name).unlink()
        argv = self._enter + [
            "qemu-system-mipsel", "-M", "malta", "-cpu", self.image.cpu, "-m", str(self.memory), "-no-reboot",
            "-nodefaults", "-vga", "none", "-display", "none", "-monitor", "none",
            "-kernel", str(self.image.kernel), "-initrd", str(self.image.initrd), "-append", self.image.append,
            "-drive", "file=%s,if=none,id=root,format=raw,readonly=on" % self._disk,
            "-device", "virtio-blk-pci,drive=root"]
        for number, tap in enumerate(self._taps):
            argv += ["-netdev", "tap,id=n%d,ifname=%s,script=no,downscript=no" % (number, tap),
                     "-device", "virtio-net-pci,netdev=n%d,mac=52:54:00:00:%02x:01,romfile=" % (number, number + 1)]
        # QEMU opens serial lines after network devices: when control.sock is there, it holds its taps.
        argv += ["-serial", "file:console.log", "-serial", "unix:control.sock,server=on,wait=off",
                 "-serial", "unix:shell.sock,server=on,wait=off"]
        if self.icount:
            argv += ["-icount", "shift=3", "-rtc", "clock=vm"]
        argv += self._words
        with open(self.folder / "qemu.log", "wb") as log:
            try:
                self._process = subprocess.Popen(argv, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                                                 stderr=log, start_new_session=True,  # no Ctrl-C of ours
                                                 preexec_fn=die_with_parent)
            except FileNotFoundError:
                raise kit.Stop("the program %s is missing: run 'make setup'" % argv[0]) from None

    def _open_channel(self, limit):
        while True:
            with contextlib.suppress(OSError):
                self._channel = connect_unix(self.folder / "control.sock")
                return
            self._look_alive()
            if time.monotonic() > limit:
                raise TimeoutError
            time.sleep(0.02)

    def _look_alive(self):
        if self._process is None or self._process.poll() is not None:
            self._give_up("has stopped")

    def _give_up(self, what):
        """Stop, with what there is to see."""
        lines = []
        for name in "qemu.log", "console.log":
            with contextlib.suppress(FileNotFoundError):
                lines += (self.folder / name).read_text(errors="replace").splitlines()[-15:]
        self.stop()
        raise kit.Stop("the %s router %s; its console (%s) ends with:\n%s" % (
            self.model, what, self.console, "\n".join("    | " + line for line in lines if line)))

    def _read_until(self, end, limit):
        """Return what the router sent up to and with the pattern `end` as a match; TimeoutError at the time `limit`."""
        data = bytearray(self._pending)
        pattern = re.compile(end, re.S)
        start = 0
        while True:
            match = pattern.search(data, start)
            if match:
                self._pending = bytes(data[match.end():])
                return bytes(data[:match.start()]), match
            start = max(0, len(data) - 200)  # longer than any pattern used here
            left = limit - time.monotonic()
            if left <= 0:
                self._pending = b""
                raise TimeoutError(bytes(data))
            self._channel.settimeout(min(left, 1))
            try:
                part = self._channel.recv(65536)
            except TimeoutError:
                self._look_alive()
                continue
            if not part:
                self._look_alive_after_end()
            data += part

    def _look_alive_after_end(self):
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._give_up("has stopped")

    def run(self, command, timeout=30):
        """Run a shell command (any number of lines) as root on the router and return its status and output.

        Standard input is empty, errors come with the output. What it leaves in the background lives on. Raises Stop
        when the command is not done after `timeout` seconds; it is ended then and the channel can be used again.
        """
        if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", command):
            raise ValueError("control characters cannot be sent to the router: %r" % command)
        mark = secrets.token_hex(8)
        with self._lock:
            if not self._channel:
                raise kit.Stop("the %s router is not running" % self.model)
            limit = time.monotonic() + timeout
            self._pending = b""
            try:
                self._channel.settimeout(timeout)
                self._channel.sendall(("%s\n%s\n%s\n" % (mark, command, mark)).encode())
                self._read_until(b"%s begin\n" % mark.encode(), limit)
                output, match = self._read_until(b"\n%s (\\d+)\n" % mark.encode(), limit)
            except TimeoutError as error:
                self._interrupt()
                output = error.args[0] if error.args and isinstance(error.args[0], bytes) else b""
                raise kit.Stop("not done after %d s on the router: %s%s" % (timeout, command, _tail(output))) from None
            except (BrokenPipeError, ConnectionResetError):
                self._look_alive_after_end()
        return Result(int(match.group(1)), output.decode(errors="replace"))

    def _interrupt(self):
        """End the command that hangs: Ctrl-C ends it and the control script, which init starts anew."""
        try:
            self._channel.sendall(b"\x03")
            self._read_until(_READY, time.monotonic() + _RECOVERY_SECONDS * (_ICOUNT_SLOWNESS if self.icount else 1))
        except TimeoutError:
            self._give_up("does not answer any more")

    def check(self, command, timeout=30):
        """Run a command that must succeed and return its output; Stop with both when it fails."""
        status, output = self.run(command, timeout)
        if status:
            raise kit.Stop("status %d on the router from: %s%s" % (status, command, _tail(output.encode())))
        return output

    def write(self, path, text, mode="644"):
        """Write a text file on the router."""
        end = secrets.token_hex(8)
        self.check("mkdir -p \"$(dirname '%s')\" && cat >'%s' <<'%s' && chmod %s '%s'\n%s\n%s" % (
            path, path, end, mode, path, text.removesuffix("\n"), end))

    def stop(self):
        """End QEMU, by its process id; harmless when it does not run."""
        if self._channel:
            self._channel.close()
            self._channel = None
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


def _tail(output):
    lines = output.decode(errors="replace").splitlines()[-15:]
    return "".join("\n    | " + line for line in lines)
