"""ActiveMQ, with its messages in a private folder."""

from __future__ import annotations

from pathlib import Path

from localcloud.brokers import broker
from localcloud.brokers.broker import Broker, MissingError

_HOME = Path("/usr/share/activemq")
_JAVA = Path("/usr/bin/java")
#: Neither console nor JMX. Whoever gives a user name must give the right password; others may use only the queues `open.*`.
_CONFIGURATION = """\
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


class ActiveMq(Broker):
    """ActiveMQ 5; `tls`: key store, trust store and their password, and every client shows a certificate."""

    scheme = "stomp"

    def __init__(self, folder: Path, *, port: int = 0, tls: tuple[Path, Path, str] | None = None) -> None:
        """Start nothing yet."""
        if not (_HOME / "bin/activemq.jar").exists() or not _JAVA.exists():
            raise MissingError("needs ActiveMQ (apt install activemq)")
        super().__init__(folder, port=port)
        self._tls = tls
        self.tls_port = broker.find_ports(1)[0]

    def command(self) -> list[str]:
        """See `Broker`."""
        connectors, context = f'<transportConnector name="stomp" uri="stomp://127.0.0.1:{self.port}?trace=false"/>', ""
        if self._tls is not None:
            keys, trust, password = self._tls
            context = (
                f'<sslContext><sslContext keyStore="file:{keys}" keyStorePassword="{password}" keyStoreType="PKCS12" '
                f'trustStore="file:{trust}" trustStorePassword="{password}" trustStoreType="PKCS12"/></sslContext>'
            )
            connectors += f'<transportConnector name="tls" uri="stomp+ssl://127.0.0.1:{self.tls_port}?needClientAuth=true"/>'
        file = self.folder / "activemq.xml"
        file.write_text(_CONFIGURATION.format(folder=self.folder, tls=context, connectors=connectors))
        return [
            str(_JAVA), "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dactivemq.home={_HOME}",
            f"-Dactivemq.base={self.folder}", f"-Dactivemq.conf={self.folder}", f"-Dactivemq.data={self.folder}",
            "-jar", str(_HOME / "bin/activemq.jar"), "start", f"xbean:file:{file}",
        ]  # fmt: skip

    def answers(self) -> bool:
        """See `Broker`."""
        return self.says(b"CONNECT\naccept-version:1.2\nhost:/\n\n\0", start=b"CONNECTED")
