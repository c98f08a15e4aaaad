"""ActiveMQ on loopback, with its messages in a private folder; and an ordinary STOMP program that sends."""

from __future__ import annotations

import itertools
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import pytest
import stomp

from tests.lab.agent import wait_for
from tests.lab.ports import own_ports

WAIT = 120.0
HOME = Path("/usr/share/activemq")
JAVA = Path("/usr/bin/java")
#: Neither console nor JMX. Whoever gives a user name must give the right password; others may use only the queues `open.*`.
CONFIGURATION = """\
<beans xmlns="http://www.springframework.org/schema/beans" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.springframework.org/schema/beans http://www.springframework.org/schema/beans/spring-beans-2.0.xsd
  http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="test" useJmx="false" useShutdownHook="true"
    dataDirectory="{folder}" persistent="true" schedulePeriodForDestinationPurge="0">
    <persistenceAdapter>
      <kahaDB directory="{folder}/kahadb" journalMaxFileLength="4mb" preallocationStrategy="sparse_file"/>
    </persistenceAdapter>
    <plugins>
      <simpleAuthenticationPlugin anonymousAccessAllowed="true">
        <users><authenticationUser username="agent" password="s3cret" groups="agents"/></users>
      </simpleAuthenticationPlugin>
      <authorizationPlugin><map><authorizationMap><authorizationEntries>
        <authorizationEntry queue="&gt;" read="agents" write="agents" admin="agents"/>
        <authorizationEntry queue="open.&gt;" read="anonymous" write="anonymous" admin="anonymous"/>
        <authorizationEntry queue="ActiveMQ.&gt;" read="anonymous" write="anonymous" admin="anonymous"/>
        <authorizationEntry topic="&gt;" read="anonymous,agents" write="anonymous,agents" admin="anonymous,agents"/>
      </authorizationEntries></authorizationMap></map></authorizationPlugin>
    </plugins>
    <systemUsage><systemUsage>
      <memoryUsage><memoryUsage limit="64 mb"/></memoryUsage>
      <storeUsage><storeUsage limit="1 gb"/></storeUsage>
      <tempUsage><tempUsage limit="100 mb"/></tempUsage>
    </systemUsage></systemUsage>
    {tls}
    <transportConnectors>{connectors}</transportConnectors>
  </broker>
</beans>
"""


class StompBroker:
    """What the brokers share: a process on ports of its own."""

    #: Headers of a message that the broker keeps on disk.
    persistent: ClassVar[dict[str, str]] = {"persistent": "true"}
    #: What stands for all further words in the name of a topic.
    everything = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = own_ports(1)[0]
        self.url = f"stomp://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the process; its output goes to `folder/log`."""
        raise NotImplementedError

    def start(self) -> None:
        self._process = self.spawn()
        wait_for(self._answers, what="the broker")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
                connection.sendall(b"CONNECT\naccept-version:1.2\nhost:/\n\n\0")
                return connection.recv(9) == b"CONNECTED"
        except OSError:
            return False

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(WAIT)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class ActiveMq(StompBroker):
    """ActiveMQ 5; `tls`: key store, trust store and their password, and every client shows a certificate."""

    everything = ">"

    def __init__(self, folder: Path, *, tls: tuple[Path, Path, str] | None = None) -> None:
        if not (HOME / "bin/activemq.jar").exists() or not JAVA.exists():
            pytest.skip("needs ActiveMQ (apt install activemq)")
        super().__init__(folder)
        self._tls = tls
        self.tls_port = own_ports(1)[0]

    def spawn(self) -> subprocess.Popen[bytes]:
        connectors, context = f'<transportConnector name="stomp" uri="stomp://127.0.0.1:{self.port}?trace=false"/>', ""
        if self._tls is not None:
            keys, trust, password = self._tls
            context = (
                f'<sslContext><sslContext keyStore="file:{keys}" keyStorePassword="{password}" keyStoreType="PKCS12" '
                f'trustStore="file:{trust}" trustStorePassword="{password}" trustStoreType="PKCS12"/></sslContext>'
            )
            connectors += f'<transportConnector name="tls" uri="stomp+ssl://127.0.0.1:{self.tls_port}?needClientAuth=true"/>'
        file = self.folder / "activemq.xml"
        file.write_text(CONFIGURATION.format(folder=self.folder, tls=context, connectors=connectors))
        command = [
            str(JAVA), "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dactivemq.home={HOME}",
            f"-Dactivemq.base={self.folder}",
            f"-Dactivemq.conf={self.folder}", f"-Dactivemq.data={self.folder}", "-jar", str(HOME / "bin/activemq.jar"), "start",
            f"xbean:file:{file}",
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)


_names: Final = itertools.count(1)


def own_name() -> str:
    """Return a name for a queue that no other test uses, for tests that share a broker."""
    return f"open.t{next(_names)}"


@contextmanager
def sender(broker: StompBroker, **headers: str) -> Iterator[Sender]:
    """A program that sends, connected."""
    made = Sender(broker, headers)
    try:
        yield made
    finally:
        made.close()


class Sender(stomp.ConnectionListener):  # type: ignore[misc]  # it has no types
    """An ordinary program with stomp.py's usual thread. Also takes messages, for a look at what a queue holds."""

    def __init__(self, broker: StompBroker, headers: dict[str, str]) -> None:
        self._broker = broker
        self._receipts = itertools.count(1)
        self._waiting: set[str] = set()
        self._change = threading.Condition()
        self.received: list[Any] = []
        self.errors: list[Any] = []
        self.connection = stomp.Connection12([("127.0.0.1", broker.port)], heartbeats=(0, 0), auto_decode=False, vhost="/")
        self.connection.set_listener("", self)
        self.connection.connect(wait=True, headers=headers)

    def send(self, *payloads: bytes, to: str, **headers: str) -> None:
        """Send, and wait until the broker has each."""
        for payload in payloads:
            receipt = f"r{next(self._receipts)}"
            self._waiting.add(receipt)
            self.connection.send(to, payload, headers={**self._broker.persistent, "receipt": receipt, **headers})
        with self._change:
            assert self._change.wait_for(lambda: not self._waiting or self.errors, WAIT)
        assert not self.errors, self.errors

    def take(self, source: str, count: int) -> list[bytes]:
        """Take `count` messages of a queue."""
        self.connection.subscribe(source, id="1", ack="auto")
        with self._change:
            assert self._change.wait_for(lambda: len(self.received) >= count, WAIT), self.received
        return [frame.body for frame in self.received]

    def on_receipt(self, frame: Any) -> None:
        with self._change:
            self._waiting.discard(frame.headers["receipt-id"])
            self._change.notify()

    def on_message(self, frame: Any) -> None:
        with self._change:
            self.received.append(frame)
            self._change.notify()

    def on_error(self, frame: Any) -> None:
        with self._change:
            self.errors.append(frame)
            self._change.notify()

    def close(self) -> None:
        self.connection.disconnect()
        self.connection.transport.stop()
        self.connection.transport.disconnect_socket()
