"""The bare client libraries that sources are held against: each receives and acknowledges, and keeps nothing. A process each.

python -m bench.bare mqtt|amqp|stomp URL COUNT   takes COUNT messages from a broker, acknowledges each, and ends
python -m bench.bare pull PORT COUNT             takes COUNT messages from NNG's PUSH, and ends
python -m bench.bare http|coap|rep PORT          serves until its input ends; each request is answered at once

The first three and `pull` print `count`, `seconds` and `cpu` (seconds of all threads), both from the first message on; servers and `pull`
print `{}` before, once they listen. What is in flight is bounded as it is for the agent (`WINDOW`).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

#: Messages that are under way at most: the default of `window`.
WINDOW: Final = 256
#: Where the messages are: topic, queue and destination, and the path of requests.
NAME: Final = "open.bench"
#: Who takes from the MQTT session that `bench.loads` fills.
SESSION: Final = "bench-session"
ANSWER: Final = b'{"ok":true,"first":1,"last":1}\n'


def _say(**found: object) -> None:
    print(json.dumps(found), flush=True)


class _Meter:
    """Counts messages, and takes the time from the first to the last."""

    def __init__(self, count: int) -> None:
        self._count, self._seen = count, 0
        self._began = self._cpu = 0.0

    def last(self) -> bool:
        """Count one more; return whether it is the last."""
        self._seen += 1
        if self._seen == 1:
            self._began, self._cpu = time.monotonic(), time.process_time()
        return self._seen == self._count

    def tell(self) -> None:
        """Print what was measured."""
        _say(count=self._count, seconds=time.monotonic() - self._began, cpu=time.process_time() - self._cpu)


def mqtt(url: str, count: str) -> None:
    """Paho, MQTT 5, manual acknowledgement, its own loop in the main thread."""
    import paho.mqtt.client as paho  # noqa: PLC0415  # each pays for what it uses only
    from paho.mqtt.enums import CallbackAPIVersion  # noqa: PLC0415
    from paho.mqtt.packettypes import PacketTypes  # noqa: PLC0415
    from paho.mqtt.properties import Properties  # noqa: PLC0415

    meter, parts = _Meter(int(count)), urlsplit(url)
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=SESSION, protocol=paho.MQTTv5, manual_ack=True)

    def on_message(_client: object, _data: object, message: paho.MQTTMessage) -> None:
        client.ack(message.mid, message.qos)
        if meter.last():
            meter.tell()
            client.disconnect()

    client.on_message = on_message
    session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    session.SessionExpiryInterval, session.ReceiveMaximum = 3600, WINDOW
    client.connect(parts.hostname or "", parts.port or 0, clean_start=False, properties=session)
    client.loop_forever()


def amqp(url: str, count: str) -> None:
    """Pika's fastest connection: callbacks, one acknowledgement a message."""
    import pika  # noqa: PLC0415

    meter = _Meter(int(count))

    def on_open(connection: Any) -> None:
        connection.channel(on_open_callback=on_channel)

    def on_channel(channel: Any) -> None:
        channel.basic_qos(prefetch_count=WINDOW)
        channel.basic_consume(NAME, on_message)

    def on_message(channel: Any, method: Any, _properties: object, _body: bytes) -> None:
        channel.basic_ack(method.delivery_tag)
        if meter.last():
            meter.tell()
            connection.close()

    connection = pika.SelectConnection(
        pika.URLParameters(url), on_open_callback=on_open, on_close_callback=lambda *_: connection.ioloop.stop()
    )
    connection.ioloop.start()


def stomp(url: str, count: str) -> None:
    """stomp.py with its own thread, one acknowledgement a message."""
    import stomp as library  # noqa: PLC0415

    meter, parts, done = _Meter(int(count)), urlsplit(url), threading.Event()
    connection = library.Connection12([(parts.hostname, parts.port)])

    class Listener(library.ConnectionListener):  # type: ignore[misc]
        def on_message(self, frame: Any) -> None:
            connection.ack(frame.headers["ack"])
            if meter.last():
                meter.tell()
                done.set()

    connection.set_listener("", Listener())
    connection.connect(wait=True)
    connection.subscribe(f"/queue/{NAME}", id="1", ack="client-individual", headers={"activemq.prefetchSize": f"{WINDOW}"})
    done.wait()
    time.sleep(0.2)  # its acknowledgements are on their way
    connection.disconnect()


def pull(port: str, count: str) -> None:
    """Pynng, one `recv` a message."""
    import pynng  # noqa: PLC0415

    meter = _Meter(int(count))
    with pynng.Pull0(listen=f"tcp://127.0.0.1:{port}") as socket:
        _say()
        while True:
            socket.recv()
            if meter.last():
                break
        meter.tell()


def rep(port: str) -> None:
    """Pynng, one request after the other."""
    import pynng  # noqa: PLC0415

    with pynng.Rep0(listen=f"tcp://127.0.0.1:{port}") as socket:
        _serving()
        while True:
            socket.recv()
            socket.send(ANSWER)


def http(port: str) -> None:
    """Aiohttp, the body read whole."""
    from aiohttp import web  # noqa: PLC0415

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=ANSWER, content_type="application/json")

    async def serve() -> None:
        application = web.Application()
        application.router.add_post("/v1/readings/{topic}", answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", int(port)).start()
        _serving()
        await asyncio.get_running_loop().create_future()

    asyncio.run(serve())


def coap(port: str) -> None:
    """Aiocoap, a resource that answers 2.04."""
    from aiocoap import CHANGED, Context, Message, resource  # noqa: PLC0415

    class Readings(resource.Resource):  # type: ignore[misc]
        async def render_post(self, _request: Message) -> Message:
            return Message(code=CHANGED, payload=ANSWER)

    async def serve() -> None:
        site = resource.Site()
        site.add_resource(("v1", "readings", NAME), Readings())
        await Context.create_server_context(site, bind=("127.0.0.1", int(port)), transports=["simplesocketserver"])
        _serving()
        await asyncio.get_running_loop().create_future()

    asyncio.run(serve())


def _serving() -> None:
    """Say that it listens, and end with the input."""
    _say()

    def leave() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=leave, daemon=True).start()


_COMMANDS: Final[dict[str, Callable[..., None]]] = {
    "mqtt": mqtt, "amqp": amqp, "stomp": stomp, "pull": pull, "rep": rep, "http": http, "coap": coap,
}  # fmt: skip

if __name__ == "__main__":
    _COMMANDS[sys.argv[1]](*sys.argv[2:])
