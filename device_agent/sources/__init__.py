"""Channel Adapters (Hohpe, Woolf) for what is not ZeroMQ: a source takes messages from a broker or from clients of its protocol.

Promises
- The other side is told "taken" only after the reading is on disk.
- A source that fails harms nobody else: it is started again after a pause, and says why it waits.
- Memory is bounded: at most `window` messages of a source are taken and not on disk yet.

How: a source is itself a ZeroMQ program. It passes each message to the intake over a DEALER in this process (`courier`), and acknowledges
to its own side when the durable reply comes; the receiver stays the only one that touches the spool. `port` is what a source is and
gets, `keeper` runs the sources in a thread each. One file a kind: `kinds` imports it, and its library, when an input of that kind is
configured. Other packages bring kinds of their own (docs/sources.md).
"""

from device_agent.config.setting import Unit, setting
from device_agent.config.sources import BrokerConfig, SourceConfig
from device_agent.sources.keeper import Keeper
from device_agent.sources.kinds import missing
from device_agent.sources.port import Away, Deliver, NotNow, Place, Settled, Source, Taken
from device_agent.sources.probe import Look, Outcome, probe

__all__ = [
    "Away", "BrokerConfig", "Deliver", "Keeper", "Look", "NotNow", "Outcome", "Place", "Settled", "Source", "SourceConfig", "Taken",
    "Unit", "missing", "probe", "setting",
]  # fmt: skip
