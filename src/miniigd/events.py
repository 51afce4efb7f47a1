"""Sends the events of the device on one LAN interface: the first message, changes, retries.

gena.py knows what is said; here is when. Never waits for a subscriber: each message is a connection of its own that
the loop serves, and a subscriber that does not take its messages is forgotten.
"""

from . import log
from .compat import const, random_bytes
from .delivery import Delivery
from .gena import Subscriptions
from .http import HTTPError
from .services import Context

_FIRST_MS = const(150)  # behind the answer to SUBSCRIBE: gupnp loses a first event that comes together with it
_MODERATION_MS = const(500)  # between two messages about changes (WANIPConnection:2 2.4: at most 2 a second)
_RETRY_MS = const(2000)  # after the first failure; longer each time
_MAX_FAILURES = const(3)


class Events:
    """The subscriptions of one device and their messages, over `interface` (an Interface)."""

    def __init__(self, loop, interface, gateway):
        self._loop = loop
        self._interface = interface
        self._gateway = gateway
        self._subscriptions = Subscriptions(_make_sid)
        self._state = None  # of what is evented, when it was told last
        self._timer = None

    def count_subscribers(self):
        """Return how many subscriptions there are."""
        self._subscriptions.expire(self._loop.now)
        return len(self._subscriptions)

    def respond(self, request, caller, version, service):
        """Return the answer (bytes) to a SUBSCRIBE or UNSUBSCRIBE; HTTPError."""
        self._subscriptions.expire(self._loop.now)
        if request.method == "UNSUBSCRIBE":
            return self._subscriptions.unsubscribe(request)
        host = self._gateway.hosts.name(caller, self._interface.index)
        answer, subscription = self._subscriptions.subscribe(request, caller, self._loop.now, version, service, host)
        if subscription is not None:
            log.debug("%s subscribed to %s" % (caller, service.id))
            self._later(_FIRST_MS, subscription)  # its first message
        return answer

    def look(self):
        """Called at the end of each turn: tell the subscribers soon when something they may know of has changed."""
        if self._timer is None and len(self._subscriptions) and self._state != self._present():
            self._timer = self._loop.call_later(_MODERATION_MS, self._tell)

    def _present(self):
        gateway = self._gateway
        wan = gateway.wan
        return (wan.address, wan.is_connected, wan.is_up, gateway.table.update_id, not gateway.pinholes.refusal)

    def _tell(self):
        self._timer = None
        state = self._present()
        self._subscriptions.expire(self._loop.now)
        for subscription in self._subscriptions:
            if not subscription.is_busy:
                self._later(0, subscription)  # each in a turn of its own: who asks meanwhile does not wait for all
        self._state = state  # last: when memory runs out on the way, everybody is told again

    def _later(self, delay_ms, subscription):
        """Send it a message then, and none before."""
        def due():
            subscription.is_busy = False
            self._send(subscription)

        self._loop.call_later(delay_ms, due)
        subscription.is_busy = True

    def _send(self, subscription):
        """Send a message if the subscriber does not know everything yet."""
        if subscription not in self._subscriptions:
            return  # it went in the meantime
        context = Context(self._gateway, subscription.host, self._loop.now, subscription.version)
        try:
            data = subscription.message(context)
            if data is not None:
                Delivery(self._loop, self._interface, subscription.host, subscription.port, data,
                         lambda is_done: self._sent(subscription, is_done))
                subscription.is_busy = True
        except OSError:  # no socket is to be had for the moment
            self._sent(subscription, False)
        except MemoryError:
            subscription.is_busy = False
            subscription.forget()
            self._state = None  # everybody is told again
            raise

    def _sent(self, subscription, is_done):
        subscription.is_busy = False
        if is_done:
            subscription.failures = 0
            self._send(subscription)  # what changed while it was under way
            return
        subscription.failures += 1
        subscription.forget()
        if subscription.failures < _MAX_FAILURES:
            self._later(_RETRY_MS * subscription.failures, subscription)
        elif subscription in self._subscriptions:
            log.event("closed", subscription.host, "a subscription of %s: it takes no events any more" % subscription.host)
            self._subscriptions.remove(subscription)

    def close(self):
        """Forget every subscriber."""
        self._loop.cancel(self._timer)
        self._timer = None
        self._subscriptions = Subscriptions(_make_sid)


def _make_sid():
    """Return a new "uuid:..." that nobody can guess."""
    try:
        digits = "".join(["%02x" % byte for byte in random_bytes(16)])
    except OSError:
        raise HTTPError(503)
    return "uuid:%s-%s-4%s-8%s-%s" % (digits[:8], digits[8:12], digits[13:16], digits[17:20], digits[20:])
