"""RabbitMQ, with an Erlang port mapper, a cookie and a data directory of its own; as the user who starts it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from localcloud.brokers import broker
from localcloud.brokers.broker import WAIT, Broker, MissingError

_BIN = Path("/usr/lib/rabbitmq/bin")  # those of /usr/sbin change the user


class RabbitMq(Broker):
    """RabbitMQ of Debian; whoever gives no user is `guest`."""

    scheme = "amqp"

    def __init__(self, folder: Path, *, port: int = 0, plugins: Sequence[str] = (), advanced: str = "", **settings: str) -> None:
        """Take `settings` of rabbitmq.conf, and `advanced` ones of the application `rabbit` as Erlang has them."""
        if not (_BIN / "rabbitmq-server").exists() or shutil.which("epmd") is None:
            raise MissingError("needs RabbitMQ (apt install rabbitmq-server)")
        super().__init__(folder, port=port)
        self._mapper_port, self._node_port = broker.find_ports(2)
        self._plugins, self._advanced, self._settings = plugins, advanced, settings
        self._mapper: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """See `Broker`."""
        return f"{self.scheme}://127.0.0.1:{self.port}/%2f"

    def environment(self) -> Mapping[str, str]:
        """See `Broker`."""
        folder = self.folder
        return {
            "HOME": str(folder), "ERL_EPMD_PORT": str(self._mapper_port), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(self._node_port), "RABBITMQ_NODENAME": f"test{self._node_port}@localhost",
            "RABBITMQ_MNESIA_BASE": str(folder / "data"), "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"), "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"), "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1",
        }  # fmt: skip

    def listener(self) -> dict[str, str]:
        """Return the settings of its listener."""
        if "ssl_options.certfile" in self._settings:
            return {"listeners.tcp": "none", "listeners.ssl.1": f"127.0.0.1:{self.port}"}
        return {"listeners.tcp.1": f"127.0.0.1:{self.port}"}

    def command(self) -> list[str]:
        """See `Broker`."""
        chosen = {"log.console": "true", "log.console.level": "info", "log.file": "false"} | self.listener() | self._settings
        (self.folder / "rabbitmq.conf").write_text("".join(f"{key} = {value}\n" for key, value in chosen.items()))
        (self.folder / "advanced.config").write_text(f"[{{rabbit, [{self._advanced}]}}].")
        (self.folder / "plugins").write_text(f"[{','.join(self._plugins)}].")
        if self._mapper is None:  # else the broker would start one that stays
            self._mapper = self.spawn(["epmd", "-address", "127.0.0.1", "-port", str(self._mapper_port)])
        return [str(_BIN / "rabbitmq-server")]

    def answers(self) -> bool:
        """See `Broker`: it greets who says something that is neither AMQP nor TLS."""
        return self.says(b"GREETING")

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl."""
        command = [str(_BIN / "rabbitmqctl"), *arguments]
        done = subprocess.run(  # noqa: S603  # no shell
            command, env={**os.environ, **self.environment()}, check=True, capture_output=True, text=True, timeout=WAIT
        )
        return done.stdout

    def close(self) -> None:
        """See `Broker`."""
        super().close()
        if self._mapper is not None:
            self._mapper.terminate()
            self._mapper.wait(WAIT)
            self._mapper = None
