"""What Hypothesis draws for the wire: readings as runs, cut into blocks; and the slow, obvious expansion of runs."""

from __future__ import annotations

from hypothesis import strategies as st

from device_agent.wire.block import Payload, Readings, Run
from device_agent.wire.labels import Labels
from device_agent.wire.limits import MAX_SEQ, MAX_TIME

NAMES = {"device": "board-7", "stream": "telemetry", "epoch": "00112233aabbccdd", "agent": "device-agent/0.1.0"}

labels = (
    st.none()
    | st.sampled_from(["", "t", "a/b", "\u00e4\U0001f600"])
    | st.text(max_size=60).filter(
        lambda text: len(text.encode("utf-8", "surrogatepass")) <= 256 and not any(0xD800 <= ord(character) <= 0xDFFF for character in text)
    )
)
frames = st.binary(max_size=40)
payloads = frames | st.lists(frames, max_size=4).filter(lambda several: len(several) != 1)
times = st.integers(0, MAX_TIME)
sequence_numbers = st.integers(1, MAX_SEQ - 100_000)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Draw a run of 1 to 6 readings."""
    held: list[Payload] = draw(st.lists(payloads, min_size=1, max_size=6))
    count = len(held)

    def column() -> Labels:
        return draw(labels) if draw(st.booleans()) else draw(st.lists(labels, min_size=count, max_size=count))

    return Run(draw(times), draw(st.booleans()), held, column(), column())


blocks = st.lists(st.lists(runs(), min_size=1, max_size=4), min_size=1, max_size=3)


def expand(several: list[Run]) -> Readings:
    """Return one value a reading in each column."""
    columns = Readings([], [], [], [], [])
    for run in several:
        for at, payload in enumerate(run.payloads):
            columns.received.append(run.received)
            columns.synced.append(run.synced)
            columns.topics.append(run.topics[at] if isinstance(run.topics, list) else run.topics)
            columns.clients.append(run.clients[at] if isinstance(run.clients, list) else run.clients)
            columns.payloads.append(payload)
    return columns
