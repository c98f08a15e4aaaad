"""Channel Adapter for nanomsg and NNG: PULL, SUB, REP, and SURVEYOR.

Promises
- REP answers when the reading is on disk, each request by itself and in any order; what is not taken is answered with the reason.
- PULL and SUB are not read while there is no room: PUSH waits then, PUB drops at its own limit. Neither is told anything, ever.
- A survey is asked only while there is room, else the round is skipped and counted. Answers that came by the deadline are readings; those
  that come later are for nobody.

How: NNG's sockets have a descriptor that is readable while a message is there. This thread waits for it and for the courier together.
Requests that wait for their answer have a context each (`sp.Desk`).
"""

from __future__ import annotations

import json
import select
import time
from typing import Any, Final, cast

import pynng

from device_agent import events
from device_agent.config.sources import NngConfig
from device_agent.sources.nng import sp, visit
from device_agent.sources.port import Deliver, Place, Settled, Source

_TICK: Final = 1.0  # seconds between looks at who is connected
_SILENCE: Final = 5.0  # seconds without a peer until that is said
_BATCH: Final = 64  # messages that are read before settled ones have their turn
_QUIET: Final = 0.05  # seconds without a message after which a PULL or SUB that stops has read all that was on its way
_STOP: Final = 2.0  # seconds for that at most, and for answers to go out
_SLACK: Final = 1.0  # seconds that NNG keeps a survey open beyond our deadline, so that none of its answers is dropped unread


def make(settings: NngConfig, _place: Place) -> Source:
    """Make the source of an `nng` input."""
    kinds: dict[str, type[_Nng]] = {"pull": _Takes, "sub": _Takes, "rep": _Replies, "surveyor": _Asks}
    return kinds[settings.pattern](settings)


class _Nng(Source):
    """What all patterns share."""

    def __init__(self, settings: NngConfig) -> None:
        """Nothing is open yet."""
        super().__init__()
        self._settings = settings
        self._socket: Any = None
        self._called: dict[str, str] = {}  # endpoints to connect to, by NNG's way to write them
        self._stands = False
        self._alone_since = time.monotonic()
        self._problem = ""
        self._lost = 0

    def run(self, deliver: Deliver) -> None:
        """See `Source`."""
        with self._opened() as socket:
            self._socket = socket
            self._begin(socket)
            self._serve(socket, deliver)
        if self._lost:
            events.source_lost(name=self._settings.name, count=self._lost)

    def probe(self) -> str:
        """See `Source`."""
        return visit.look(self._settings)

    def status(self) -> dict[str, Any]:
        """See `Source`."""
        peers = len(self._socket.pipes) if self._socket is not None else 0
        return super().status() | {"peers": peers} | ({"problem": self._problem} if self._problem else {})

    def _opened(self) -> Any:
        return pynng.Pull0()

    def _begin(self, socket: Any) -> None:
        settings = self._settings
        sp.prepare(socket, settings)
        bound = [sp.listen(socket, endpoint, settings) for endpoint in settings.bind]
        self._called = {sp.dial(socket, endpoint, settings): endpoint for endpoint in settings.connect}
        self.knows(endpoints=[*bound, *settings.connect])
        if bound:
            self._stands = True
            self.on_stand()

    def _serve(self, socket: Any, deliver: Deliver) -> None:
        raise NotImplementedError

    def _wait(self, deliver: Deliver, file: int | None, seconds: float | None = None) -> bool:
        """Wait for a message, and for what concerns the courier or the connections."""
        limits = [limit for limit in (seconds, None if self._settings.bind else _TICK) if limit is not None]
        found = deliver.wait([] if file is None else [file], min(limits) if limits else None)
        if not self._settings.bind:
            self._watch()
        return bool(found)

    def _watch(self) -> None:
        """Say it when there is no other side, and when there is one again."""
        now = time.monotonic()
        if self._socket.pipes:
            self._alone_since, self._problem = now, ""
            if not self._stands:
                self._stands = True
                self.on_stand()
        elif now - self._alone_since > _SILENCE and not self._problem:
            places, tls = ", ".join(self._settings.connect), self._settings.encrypted == "TLS"
            more = ", and does its certificate fit ca" if tls else ""
            self._problem = f"{places} does not answer; is the program running, and the address right{more}?"
            self._stands = False
            events.source_waits(name=self._settings.name, problem=self._problem)

    def _settle(self, deliver: Deliver) -> None:
        """See what became of messages that nobody hears about."""
        for one in deliver.settled():
            if one.again:  # only at a stop
                self._lost += 1
            elif not one.taken:
                events.source_refused(name=self._settings.name, reason=one.reason)

    def _finish(self, deliver: Deliver) -> None:
        while not deliver.finished:
            deliver.wait([], None)
            self._settle(deliver)
        self._settle(deliver)
        self._lost += deliver.under_way


class _Takes(_Nng):
    """PULL and SUB."""

    def __init__(self, settings: NngConfig) -> None:
        """See `_Nng`."""
        super().__init__(settings)
        self._prefixes = sorted(((text.encode(), text) for text in settings.subscribe if text), key=lambda one: -len(one[0]))

    def _opened(self) -> Any:
        settings = self._settings
        if settings.pattern == "pull":
            return pynng.Pull0()
        return pynng.Sub0(topics=[prefix.encode() for prefix in settings.subscribe], recv_buffer_size=settings.window)

    def _topic(self, payload: bytes) -> str | None:
        if self._settings.topic or self._settings.pattern == "pull":
            return self._settings.topic or None
        return next((text for prefix, text in self._prefixes if payload.startswith(prefix)), None)

    def _serve(self, socket: Any, deliver: Deliver) -> None:
        file, inbox = socket.recv_fd, sp.Bytes(socket)
        while not deliver.stopping:
            self._settle(deliver)
            if self._wait(deliver, file if deliver.room else None):
                self._read(inbox, deliver, min(_BATCH, deliver.room))
        self._read_the_rest(inbox, file, deliver)
        self._finish(deliver)

    def _read(self, inbox: sp.Bytes, deliver: Deliver, most: int) -> int:
        for number in range(most):
            payload = inbox.take()
            if payload is None:
                return number
            deliver.offer(None, payload, topic=self._topic(payload))
        return most

    def _read_the_rest(self, inbox: sp.Bytes, file: int, deliver: Deliver) -> None:
        """Read what the other side has sent already, unless there is no room: nobody sends it again."""
        quiet, end = time.monotonic() + _QUIET, time.monotonic() + _STOP
        while (now := time.monotonic()) < min(quiet, end) and not self._lost and not (deliver.finished and deliver.under_way):
            room = min(_BATCH, self._settings.window - deliver.under_way)
            found = deliver.wait([file] if room > 0 else [], quiet - now)
            if room <= 0 or (found and self._read(inbox, deliver, room)):
                quiet = time.monotonic() + _QUIET
            self._settle(deliver)


class _Replies(_Nng):
    """REP."""

    def __init__(self, settings: NngConfig) -> None:
        """See `_Nng`."""
        super().__init__(settings)
        routes = sorted(settings.route, key=lambda route: -len(route.topic))
        stream = next((route.stream for route in routes if settings.topic.startswith(route.topic)), settings.stream)
        self._head = f'{{"ok":true,"stream":{json.dumps(stream, ensure_ascii=False)},"seq":'

    def _opened(self) -> Any:
        return pynng.Rep0()

    def _serve(self, socket: Any, deliver: Deliver) -> None:
        desk = sp.Desk(socket, self._settings.window)
        try:
            file = socket.recv_fd
            while True:
                self._answer(desk, deliver)
                if deliver.finished:
                    break
                reads = deliver.room > 0
                if self._wait(deliver, file if reads else None) and reads:
                    self._take(desk, deliver)
            until = time.monotonic() + _STOP
            while desk.look() and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(_QUIET)  # NNG writes in threads of its own, and does not say when it has
        finally:
            desk.close()

    def _take(self, desk: sp.Desk, deliver: Deliver) -> None:
        for _ in range(min(_BATCH, deliver.room)):
            found = desk.take()
            if found is None:
                return
            request, payload = found
            deliver.offer(request, payload, topic=self._settings.topic or None)

    def _answer(self, desk: sp.Desk, deliver: Deliver) -> None:
        for one in deliver.settled():
            desk.answer(cast("sp.Request", one.token), self._text(one))  # what _take offered

    def _text(self, one: Settled) -> bytes:
        if one.taken:
            return (self._settings.reply or f"{self._head}{one.seq}}}").encode()
        said = {"ok": False, "again": one.again, "error": one.reason}
        return json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()


class _Asks(_Nng):
    """SURVEYOR."""

    def __init__(self, settings: NngConfig) -> None:
        """See `_Nng`."""
        super().__init__(settings)
        self._rounds = self._skipped = self._answered = self._silent = 0
        self.knows(rounds=0, skipped=0, answered=0, silent=0)

    def _opened(self) -> Any:
        return pynng.Surveyor0(survey_time=round((self._settings.timeout + _SLACK) * 1000), recv_buffer_size=self._settings.max_connections)

    def _serve(self, socket: Any, deliver: Deliver) -> None:
        due = time.monotonic()
        while not deliver.stopping:
            self._settle(deliver)
            now = time.monotonic()
            if now < due:
                self._wait(deliver, None, due - now)
                continue
            due = max(due + self._settings.every, now)
            if deliver.room:
                self._round(socket, deliver)
            else:
                self._skipped += 1
            self.knows(rounds=self._rounds, skipped=self._skipped, answered=self._answered, silent=self._silent)
        self._finish(deliver)

    def _round(self, socket: Any, deliver: Deliver) -> None:
        asked = len(socket.pipes)
        deadline = time.monotonic() + self._settings.timeout
        socket.send(self._settings.request.encode(), block=False)
        file, inbox, answered, most = socket.recv_fd, sp.Inbox(socket), 0, self._settings.max_connections
        while not deliver.stopping and (left := deadline - time.monotonic()) > 0:
            answered += self._read(inbox, file, deliver, most - answered)
            self._wait(deliver, file if answered < most else None, left)
            self._settle(deliver)
        answered += self._read(inbox, file, deliver, most - answered)
        self._rounds += 1
        self._answered += answered
        self._silent += max(0, asked - answered)

    def _read(self, inbox: sp.Inbox, file: int, deliver: Deliver, most: int) -> int:
        """Read the answers that are there: also without room, since nobody would give them again. Return how many there were.

        NNG is asked only when its descriptor is readable: where there is no answer it would wait for the end of the survey.
        """
        for number in range(most):
            found = inbox.take() if select.select([file], [], [], 0)[0] else None
            if found is None:
                return number
            payload, pipe = found
            deliver.offer(None, payload, topic=self._settings.topic or self._who(pynng.Pipe(pipe, self._socket)))
        return most

    def _who(self, pipe: Any) -> str | None:
        """Who answered: the endpoint that it was called at, or its address without the port, which is another each time."""
        try:
            url = str(pipe.url)
            if url in self._called:
                return self._called[url]
            transport = url.partition("://")[0]
            return url if transport == "ipc" else f"{transport}://{str(pipe.remote_address).rpartition(':')[0]}"
        except pynng.NNGException:  # it has gone
            return None
