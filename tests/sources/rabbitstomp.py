"""RabbitMQ with its STOMP plugin on loopback, with a private folder, cookie and port mapper."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.lab.ports import own_ports
from tests.sources.activemq import WAIT, StompBroker

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
PLUGINS = Path("/usr/lib/rabbitmq/lib")
EPMD = Path("/usr/bin/epmd")


class RabbitStomp(StompBroker):
    """RabbitMQ 3.10 of Debian; whoever gives no user is `guest`."""

    everything = "#"

    def __init__(self, folder: Path) -> None:
        if not SERVER.exists() or not any(PLUGINS.glob("*/plugins/rabbitmq_stomp-*")):
            pytest.skip("needs RabbitMQ (apt install rabbitmq-server)")
        super().__init__(folder)
        self._mapper_port, self._node_port = own_ports(2)
        self._mapper: subprocess.Popen[bytes] | None = None

    def spawn(self) -> subprocess.Popen[bytes]:
        folder = self.folder
        (folder / "enabled_plugins").write_text("[rabbitmq_stomp].\n")
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp = none\nstomp.listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "stomp.default_user = guest\nstomp.default_pass = guest\nstomp.implicit_connect = false\nlog.console = false\n"
        )
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ")} | {
            "HOME": str(folder), "ERL_EPMD_PORT": str(self._mapper_port), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"test{self.port}@localhost", "RABBITMQ_DIST_PORT": str(self._node_port),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"), "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"), "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"), "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}",
            "RUNNING_UNDER_SYSTEMD": "true",  # the shell becomes the broker, so that a signal goes to the broker
        }  # fmt: skip
        with (folder / "log").open("ab") as log:
            if self._mapper is None:  # else the broker would start one that stays
                self._mapper = subprocess.Popen([str(EPMD)], stdout=log, stderr=log, env=environment)
            return subprocess.Popen([str(SERVER)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)

    def stop(self, number: int = signal.SIGTERM) -> None:
        super().stop(number)
        if self._mapper is not None:
            self._mapper.terminate()
            self._mapper.wait(WAIT)
            self._mapper = None
