"""Responder: accepts everything as fast as one thread can, without model or checks; for benchmarks, which must not measure the endpoint.

    python -m tests.fakes.sqs.responder          prints its endpoint on standard output, then serves until it is killed

Speaks HTTP/1.1 with keep-alive, AWS JSON 1.0 and Query. Knows SendMessage, SendMessageBatch and GetQueueAttributes; answers name every
entry that the request held. At the end (SIGTERM or Ctrl-C) it prints requests, entries and bytes received, as one line of JSON.
"""

from __future__ import annotations

import json
import re
import selectors
import signal
import socket
import sys
import time
from email.utils import formatdate

_JSON_ID = re.compile(rb'"Id": ?"([A-Za-z0-9_-]{1,80})"')
_QUERY_ID = re.compile(rb"SendMessageBatchRequestEntry\.\d+\.Id=([A-Za-z0-9_-]{1,80})")
_LENGTH = re.compile(rb"\r\nContent-Length: *(\d+)", re.IGNORECASE)
_TARGET = re.compile(rb"\r\nX-Amz-Target: *AmazonSQS\.(\w+)", re.IGNORECASE)
_ACTION = re.compile(rb"Action=(\w+)")
_XMLNS = 'xmlns="http://queue.amazonaws.com/doc/2012-11-05/"'


class Responder:
    """One thread, one selector. `port` is free and on loopback."""

    def __init__(self, port: int = 0) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests = self.entries = self.received = 0
        self.running = True
        self._date = ("", 0.0)

    def serve(self) -> None:
        """Answer until `running` is False."""
        while self.running:
            for key, _ in self._selector.select(0.2):
                if key.data is None:
                    self._accept()
                elif not key.data.turn():
                    self._selector.unregister(key.fileobj)
                    key.data.close()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _accept(self) -> None:
        peer, _ = self._listener.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(peer, selectors.EVENT_READ, _Connection(peer, self))

    def answer(self, head: bytes, body: memoryview) -> bytes:
        """The whole answer to a request."""
        target = _TARGET.search(head)
        action = (target or _ACTION.search(bytes(body[:200])) or re.match(rb"(x)", b"x"))[1].decode()  # type: ignore[index]
        self.requests += 1
        self.received += len(body)
        text = (_json if target else _query)(action, body, self)
        kind = "application/x-amz-json-1.0" if target else "text/xml"
        head_out = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(text)}\r\nDate: {self._now()}\r\nx-amzn-RequestId: 0"
        return f"{head_out}\r\n\r\n{text}".encode()

    def _now(self) -> str:
        if time.monotonic() - self._date[1] > 1:
            self._date = (formatdate(usegmt=True), time.monotonic())
        return self._date[0]


class _Connection:
    def __init__(self, peer: socket.socket, responder: Responder) -> None:
        self._peer, self._responder = peer, responder
        self._buffer = bytearray(2 * 1024 * 1024)
        self._filled = 0
        self._head: bytes | None = None
        self._needed = 0

    def turn(self) -> bool:
        """Read what is there; False at the end of the connection."""
        if self._filled == len(self._buffer):
            self._buffer += bytes(len(self._buffer))
        with memoryview(self._buffer) as room:
            count = self._peer.recv_into(room[self._filled :])
        if not count:
            return False
        self._filled += count
        while self._complete():
            assert self._head is not None
            start = len(self._head)
            with memoryview(self._buffer) as view:
                answer = self._responder.answer(self._head, view[start : start + self._needed])
            self._peer.sendall(answer)
            rest = self._buffer[start + self._needed : self._filled]
            self._buffer[: len(rest)] = rest
            self._filled, self._head = len(rest), None
        return True

    def _complete(self) -> bool:
        if self._head is None:
            end = self._buffer.find(b"\r\n\r\n", 0, self._filled)
            if end < 0:
                return False
            self._head = bytes(self._buffer[: end + 4])
            length = _LENGTH.search(self._head)
            self._needed = int(length[1]) if length else 0
            if b"100-continue" in self._head:
                self._peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return self._filled >= len(self._head) + self._needed

    def close(self) -> None:
        self._peer.close()


def _json(action: str, body: memoryview, counts: Responder) -> str:
    if action == "SendMessageBatch":
        ids = [one.decode() for one in _JSON_ID.findall(body)]
        counts.entries += len(ids)
        successful = [{"Id": one, "MessageId": "0", "MD5OfMessageBody": "0"} for one in ids]
        return json.dumps({"Successful": successful})
    if action == "SendMessage":
        counts.entries += 1
        return '{"MessageId":"0","MD5OfMessageBody":"0"}'
    return '{"Attributes":{"MaximumMessageSize":"1048576"}}'


def _query(action: str, body: memoryview, counts: Responder) -> str:
    if action == "SendMessageBatch":
        ids = [one.decode() for one in _QUERY_ID.findall(body)]
        counts.entries += len(ids)
        inner = "".join(f"<SendMessageBatchResultEntry><Id>{one}</Id><MessageId>0</MessageId></SendMessageBatchResultEntry>" for one in ids)
    elif action == "SendMessage":
        counts.entries += 1
        inner = "<MessageId>0</MessageId>"
    else:
        inner = "<Attribute><Name>MaximumMessageSize</Name><Value>1048576</Value></Attribute>"
    return f"<{action}Response {_XMLNS}><{action}Result>{inner}</{action}Result></{action}Response>"


def main() -> None:
    """Serve until a signal."""
    responder = Responder(int(sys.argv[1]) if len(sys.argv) > 1 else 0)

    def stop(*_: object) -> None:
        responder.running = False

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(responder.endpoint, flush=True)
    responder.serve()
    print(json.dumps({"requests": responder.requests, "entries": responder.entries, "bytes": responder.received}), flush=True)


if __name__ == "__main__":
    main()
