"""Probe: one look from here to the other side of each source, for `device-agent check --online`. No intake, no retry.

Promises: each source gets one sentence, the one that `status` would show where something is wrong. No message is taken, and an agent that
runs with the same configuration keeps its sessions. All are tried at the same time; what a kind may take for it is said in `Source.probe`.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from device_agent.config import SourceConfig
from device_agent.errors import NotNow
from device_agent.sources.kinds import make, missing
from device_agent.sources.port import Away, Place, Taken

_AT_ONCE: Final = 16  # probes


class Outcome(Enum):
    """How a probe ended."""

    GOOD = auto()
    UNTRIED = auto()  # the kind has no probe
    TAKEN = auto()  # its address is in use, maybe by an agent that runs with this configuration
    AWAY = auto()  # nobody answers
    WRONG = auto()  # somebody must change something


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen of one source's other side."""

    name: str  # of the input
    outcome: Outcome
    sentence: str


def probe(settings: Sequence[SourceConfig], place: Place) -> list[Look]:
    """Look at the other side of each source whose library is installed; of others see `missing`."""
    tried = [one for one in settings if not missing([one])]
    if not tried:
        return []
    with ThreadPoolExecutor(min(len(tried), _AT_ONCE), thread_name_prefix="probe") as pool:
        return list(pool.map(lambda one: _look(one, place), tried))


def _look(settings: SourceConfig, place: Place) -> Look:
    try:
        said = make(settings, place).probe()
    except Taken as error:
        return Look(name=settings.name, outcome=Outcome.TAKEN, sentence=str(error))
    except Away as error:
        return Look(name=settings.name, outcome=Outcome.AWAY, sentence=str(error))
    except (NotNow, OSError) as error:
        return Look(name=settings.name, outcome=Outcome.WRONG, sentence=str(error))
    except Exception as error:  # noqa: BLE001  # as in the keeper: a bug of one source must not hide what the others say
        return Look(name=settings.name, outcome=Outcome.WRONG, sentence=f"{type(error).__name__}: {error}")
    if said is None:
        untried = f"kind {settings.kind} cannot be tried from here; `device-agent status` says how it is once the agent runs"
        return Look(name=settings.name, outcome=Outcome.UNTRIED, sentence=untried)
    return Look(name=settings.name, outcome=Outcome.GOOD, sentence=said)
