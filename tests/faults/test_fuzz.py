"""Fuzzing in the suite: the kept inputs, a second of changes for each target, and any frames into a running intake.

The changes are the same in every run; `make fuzz` looks for new ones, and keeps what it finds in tests/lab/corpus.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device_agent.config import Pattern
from device_agent.wire.ranges import Ranges
from tests.intake.conftest import Bench, bench, path
from tests.lab import fuzz, fuzzdrain, fuzzframes
from tests.lab.guided import Guide, edges
from tools.drain import NotBuilt

__all__ = ["bench", "path"]  # fixture


@pytest.fixture(autouse=True)
def _closed(nothing_is_left_open: None) -> Iterator[None]:
    yield
    fuzzframes.close()


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_no_kept_input_breaks_its_target(target: str) -> None:
    found = fuzz.seeds(target)
    assert found
    for data in found:
        fuzz.TARGETS[target](data)


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_random_changes_break_no_target(target: str) -> None:
    """Records of an envelope that overlaps another's numbers were listed as data: a reader would have got these numbers twice."""
    randoms, pool = random.Random(target), fuzz.seeds(target)
    for _ in range({"log": 800, "records": 500, "journal": 300, "config": 400, "frames": 500}.get(target, 2000)):
        data = fuzz.change(randoms.choice(pool), randoms)
        try:
            fuzz.TARGETS[target](data)
        except BaseException:
            print(f"breaks {target}: {data.hex()}")
            raise


def test_coverage_leads_the_fuzzer_where_random_changes_of_its_seeds_do_not() -> None:
    """What makes it guided: an input that goes a new way is kept, and the next ones are changes of it."""

    def target(data: bytes) -> None:
        content = Ranges()  # any code of ours with branches
        for at, byte in enumerate(b"\x7f\xff\0\xc1"):
            if data[at : at + 1] != bytes((byte,)):
                return
            content.add(at * 4, at * 4) if at % 2 else list(content.missing(0, at))
        raise ZeroDivisionError

    guide = Guide(target, [bytes(8)], fuzz.change, random.Random(3))
    assert edges(target, b"\x7f" + bytes(7)) > edges(target, bytes(8))
    assert not guide.run(bytes(8))
    assert guide.run(b"\x7f" + bytes(7))
    assert guide.pool[-1] == b"\x7f" + bytes(7)

    def search() -> None:
        for _ in range(20_000):
            guide.run(guide.next())

    with pytest.raises(ZeroDivisionError):
        search()


FRAMES = st.lists(
    st.one_of(
        st.just(b""), st.binary(max_size=40), st.sampled_from([b"\0", b"\xff\xff", b"GET / HTTP/1.1", b"{", b"x" * 300, b"\xc3\x28"])
    ),
    min_size=1,
    max_size=12,
)


def test_the_loop_in_c_keeps_to_its_memory_whatever_frames_and_errors_come(tmp_path: Path) -> None:
    """A quick look; `make fuzz` goes on. The scripts have huge and empty frames, thousands of frames, errors in the middle of a message,
    EINTR, ETERM, buffers that are full; a slow twin says what must come out."""
    try:
        program = fuzzdrain.build(tmp_path / "drainfuzz")
    except NotBuilt as error:
        pytest.skip(str(error))
    done = fuzzdrain.run(program, 2, seed=1)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("message_id", ["", "none", "first-frame"])  # "": a REP input, which has none
def test_any_frames_get_a_reading_a_refusal_or_a_count_and_the_next_client_is_served(bench: Bench, message_id: str) -> None:
    endpoint = bench.run(Pattern.ROUTER, message_id=message_id) if message_id else bench.run(Pattern.REP)
    dealer = bench.client(zmq.DEALER, endpoint)
    sent = 0

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(messages=st.lists(FRAMES, min_size=1, max_size=5))
    def send(messages: list[list[bytes]]) -> None:
        nonlocal sent
        for message in messages:
            dealer.send_multipart(message)
            sent += 1

    send()
    polite = bench.client(zmq.DEALER, endpoint)
    polite.send_multipart([b"", b"hello"])
    assert polite.recv_multipart()[-1].startswith(b'{"ok":')
    counters = bench.counters
    bench.sink.wait(lambda: len(bench.sink.payloads()) + counters.malformed + counters.probes + counters.refused >= sent + 1)
    assert len(bench.sink.payloads()) + counters.malformed + counters.probes + counters.refused == sent + 1
    while dealer.poll(200):
        dealer.recv_multipart()
