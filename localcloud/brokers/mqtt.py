"""Brokers of MQTT."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from localcloud.brokers.broker import Broker, MissingError


class Mosquitto(Broker):
    """Mosquitto, with sessions on disk."""

    scheme = "mqtt"

    def __init__(self, folder: Path, *, port: int = 0, **settings: str) -> None:
        """Take further `settings` of mosquitto.conf."""
        binary = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        if binary is None:
            raise MissingError("needs Mosquitto (apt install mosquitto)")
        super().__init__(folder, port=port)
        self.settings = settings
        self._binary = binary

    def command(self) -> list[str]:
        """See `Broker`."""
        chosen = {
            "listener": f"{self.port} 127.0.0.1", "allow_anonymous": "true", "persistence": "true",
            "persistence_location": f"{self.folder}/", "autosave_interval": "1", "autosave_on_changes": "true",
            "user": "root", "max_queued_messages": "0", "log_type": "all",
        }  # fmt: skip
        chosen |= self.settings
        file = self.folder / "mosquitto.conf"
        file.write_text("".join(f"{key} {value}\n" for key, value in chosen.items()))
        return [self._binary, "-c", str(file)]


class Amqtt(Broker):
    """amqtt, in pure Python; MQTT 3.1.1 only, sessions in its memory."""

    scheme = "mqtt"
    keeps = False

    def command(self) -> list[str]:
        """See `Broker`."""
        file = self.folder / "amqtt.yaml"
        file.write_text(
            f"listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:{self.port}\n"
            "plugins:\n  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n"
        )
        return [str(Path(sys.executable).with_name("amqtt")), "-c", str(file)]
