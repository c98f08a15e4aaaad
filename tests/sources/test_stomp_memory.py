"""STOMP: memory is bounded whatever the broker does, against a scripted one."""

from __future__ import annotations

import threading

import pytest

from device_agent.ports import Verdict
from tests.lab.agent import wait_for
from tests.sources.conftest import Board
from tests.sources.stomppeer import Peer, Talk, message
from tests.sources.test_stomp_hostile import settings_for


def test_a_flood_beyond_the_window_is_not_taken_into_memory(board: Board) -> None:
    """A broker that knows none of the headers for the window: the socket is not read, so the broker has to wait."""
    count, size = 1000, 20_000
    sent, answers = [0], []

    def play(talk: Talk) -> None:
        talk.greet()
        for number in range(count):
            talk.send(message(number, b"%06d" % number + b"x" * size))
            sent[0] += 1
        answers.append(talk.rest())

    board.sink.verdicts["telemetry"] = Verdict.FULL
    with Peer(play) as peer:
        board.start(settings_for(peer, window=4))
        wait_for(lambda: board.status()["under_way"] == 8, what="twice the window")
        refused = board.counters.postponed
        wait_for(lambda: board.counters.postponed > refused + 40, what="some rounds of refusals")
        assert board.status()["under_way"] == 8
        assert sent[0] < count, "the broker waits"
        board.sink.verdicts.clear()
        payloads = board.sink.wait_for(count)
        assert sorted(int(bytes(payload[:6])) for payload in payloads) == list(range(count))
        wait_for(lambda: board.status()["under_way"] == 0, what="the answers")
        board.stop(drain=5.0)
    assert len(answers[0]) == count


def test_a_broker_that_reads_no_acknowledgements_is_not_read_either(board: Board) -> None:
    count, large = 20_000, b"i" * 1000  # 20 MB of acknowledgements: more than the kernel holds
    may_read = threading.Event()
    answers: list[list[str]] = []
    sent = [0]

    def flood(talk: Talk) -> None:
        for number in range(count):
            talk.send(b"MESSAGE\nmessage-id:m\ndestination:/queue/q\nack:%d-%s\n\nx\0" % (number, large))
            sent[0] += 1

    def play(talk: Talk) -> None:
        talk.greet()
        thread = threading.Thread(target=flood, args=(talk,))
        thread.start()
        assert may_read.wait(60)
        answers.append(talk.rest())
        thread.join()

    with Peer(play) as peer:
        board.start(settings_for(peer))
        last = [-1]

        def stuck() -> bool:
            before, last[0] = last[0], sent[0]
            return before == sent[0] > 0

        wait_for(stuck, what="the broker to be held back", every=1.0)
        assert sent[0] < count
        may_read.set()
        wait_for(lambda: board.counters.replies == count, what="all messages")
        wait_for(lambda: board.status()["under_way"] == 0, what="the answers")
        board.stop(drain=5.0)
    assert len(answers[0]) == count


@pytest.mark.parametrize("length", [b"content-length:50000000\n", b""])
def test_a_message_beyond_every_bound_is_refused_and_the_next_taken(board: Board, length: bytes) -> None:
    answers: list[list[str]] = []

    def play(talk: Talk) -> None:
        talk.greet()
        talk.send(b"MESSAGE\nsubscription:1\nmessage-id:m\nack:big\ndestination:/queue/q\n" + length + b"\n")
        for _ in range(50):
            talk.send(b"x" * 1_000_000)
        talk.send(b"\0" + message(2, b"next"))
        answers.append(talk.rest())

    with Peer(play) as peer:
        board.start(settings_for(peer))
        assert board.sink.wait_for(1) == [b"next"]
        wait_for(lambda: board.status()["under_way"] == 0, what="the answer")
        board.stop(drain=5.0)
    assert answers == [["NACK\nid:big\nrequeue:false\n\n", "ACK\nid:a2\n\n"]]
