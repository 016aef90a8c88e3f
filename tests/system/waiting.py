"""Wait for what happens, not for time to pass: conditions, and libvirt events as a client sees them."""
import sys
import threading
import time

import libvirt

STEP_S = 0.02
PATIENCE_S = 120  # what a busy machine may make anything wait; who waits for less waits as long


def wait_for(what, condition, timeout=0):
    """The first true value of condition(); an AssertionError that says what was waited for and seen last otherwise."""
    timeout = max(timeout, PATIENCE_S)
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {timeout} s; seen last: {seen_by(condition)}"
        time.sleep(STEP_S)


def seen_by(condition):
    """What the functions that a condition calls itself answer now: 'state_of() was paused'."""
    seen = []

    def on_event(frame, event, value):
        if event == "return" and frame.f_back and frame.f_back.f_code is getattr(condition, "__code__", None):
            seen.append(f"{frame.f_code.co_name}() was {value!r}")

    before = sys.getprofile()
    sys.setprofile(on_event)
    try:
        value = condition()
    finally:
        sys.setprofile(before)
    return ", ".join([*seen, f"all of it {value!r}"])[:1000]


class EventLoop:
    """libvirt's own event loop, turned by one thread for as long as the test process lives."""

    _thread = None

    @classmethod
    def start(cls):
        if cls._thread is None:
            libvirt.virEventRegisterDefaultImpl()
            cls._thread = threading.Thread(target=cls._turn, daemon=True)
            cls._thread.start()

    @staticmethod
    def _turn():
        while True:
            libvirt.virEventRunDefaultImpl()


class Lifecycle:
    """The lifecycle events of a connection's guests, in order, with the time each arrived.

    Call EventLoop.start() before opening the connection.
    """

    def __init__(self, conn):
        self._conn = conn
        self._news = threading.Condition()
        self.events = []  # (seconds, guest, event, detail)
        self._id = conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_event, None)

    def _on_event(self, _conn, domain, event, detail, _opaque):
        with self._news:
            self.events.append((time.monotonic(), domain.name(), event, detail))
            self._news.notify_all()

    def close(self):
        self._conn.domainEventDeregisterAny(self._id)

    def wait(self, guest, event, timeout=PATIENCE_S):
        """The first event of this kind for this guest, past or to come."""
        def found():
            return next((entry for entry in self.events if entry[1:3] == (guest, event)), None)

        with self._news:
            assert self._news.wait_for(found, timeout), f"no event {event} of {guest}; there were {self.events}"
            return found()
