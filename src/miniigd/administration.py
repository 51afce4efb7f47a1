"""What root's commands do: a request line becomes a change of the gateway, or a look at it, and an answer in pieces.

    administration.respond(b"close 8000 TCP", now)    # ("0\\n", "closed 1 mapping\\n"): the exit status, then text

Sans-IO; never raises for anything that can stand in a line.
"""

from . import log
from .errors import FirewallError, UPnPError


class Administration:
    """Commands to `gateway`, with its `pause` (Pause).

    `project()` has the firewall made to agree with the table, again and again until it does; `subscribers()` tells how
    many subscribers of events there are.
    """

    def __init__(self, gateway, pause, project, subscribers):
        self._gateway = gateway
        self._pause = pause
        self._project = project
        self._subscribers = subscribers

    def respond(self, line, now):
        """Return the pieces (str) of the answer to a line (bytes)."""
        from .commands import UsageError, parse  # rarely needed: neither takes memory, or time at the start

        try:
            words = parse(line.decode().split())
        except ValueError:
            return _answer(2, "a command is plain text")
        except UsageError as error:
            return _answer(2, log.printable(error.args[0]))
        name = words[0]
        try:
            if name == "status":
                return self._status(words[1:], now)
            if name == "close":
                return self._close(words, now)
            if name == "close-all":
                text = "closed %s" % _closed(self._gateway.close_all(now, "by the administrator"))
                log.info("%s by the administrator" % text)
                return _answer(0, text)
            if name == "pause":
                return self._begin_pause(int(words[1]) * 60 if len(words) > 1 else 0, now)
            if name == "resume":
                return self._resume()
        except UPnPError as refusal:
            return _answer(1, "nothing was closed: %s" % refusal.reason)
        return _answer(2, "%s is not for the daemon" % name)

    def _status(self, options, now):
        from . import status

        gateway = self._gateway
        pause = self._pause
        state = status.State(gateway, now, self._subscribers(), pause.remaining(now) if pause.is_on else None)
        firewall = self._gateway.firewall
        counters = self._counters(state.mappings, firewall.counters)
        pinhole_counters = self._counters(state.pinholes, firewall.pinhole_counters)
        form = status.json if options else status.text
        return _after_status(form(state, counters, pinhole_counters))

    def _counters(self, mappings, ask):
        """Return (packets, bytes) of each, or None: of all where the firewall does not say it."""
        opened = [mapping for mapping in mappings if mapping.enabled]
        try:
            found = iter(ask(opened) if opened else ())
        except FirewallError as error:
            log.warning("packets are not counted: %s" % error.text)
            return [None] * len(mappings)
        return [next(found) if mapping.enabled else None for mapping in mappings]

    def _close(self, words, now):
        port, protocol = int(words[1]), words[2]
        found = [mapping for mapping in self._gateway.table
                 if mapping.external_port == port and mapping.protocol == protocol and (
                     len(words) < 4 or mapping.remote_host == words[3])]
        if not found:
            return _answer(1, "no mapping of %s %d%s" % (protocol, port, " from " + words[3] if words[3:] else ""))
        self._gateway.close(found, now, "by the administrator")
        return _answer(0, "closed %s" % _mappings(len(found)))

    def _begin_pause(self, seconds, now):
        is_kept = self._pause.begin(seconds, now)  # first: whatever happens behind it, a restart closes everything
        end = "for %d minutes" % (seconds // 60) if seconds else "until 'miniigd resume'"
        log.info("paused by the administrator %s" % end)
        try:
            closed = _closed(self._gateway.pause(now))
            log.info("closed %s" % closed)
        except UPnPError as refusal:
            self._project()
            return _answer(1, "paused %s, but the firewall did not close what is open yet, it is asked again: %s" % (
                end, refusal.reason))
        if not is_kept:
            return _answer(1, "paused %s, but not beyond a restart: the file cannot be written" % end)
        return _answer(0, "paused %s, closed %s" % (end, closed))

    def _resume(self):
        was_on = self._pause.is_on
        self._gateway.is_paused = False
        if not self._pause.end():
            return _answer(1, "resumed, but a restart pauses again: the file cannot be removed")
        if not was_on:
            return _answer(0, "nothing was paused")
        log.info("resumed by the administrator")
        return _answer(0, "resumed: ports open when their programs ask again")

    def look(self, now):
        """End a pause whose time is over."""
        if self._pause.is_over(now):
            self._pause.end()
            self._gateway.is_paused = False
            log.info("resumed: the pause is over")


def _mappings(count):
    return "1 mapping" if count == 1 else "%d mappings" % count


def _closed(counts):
    mappings, pinholes = counts
    text = _mappings(mappings)
    if pinholes:
        text += ", 1 pinhole" if pinholes == 1 else ", %d pinholes" % pinholes
    return text


def _answer(code, text):
    return ("%d\n" % code, text + "\n")


def _after_status(pieces):
    yield "0\n"
    for piece in pieces:
        yield piece
