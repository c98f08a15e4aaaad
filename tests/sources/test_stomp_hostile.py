"""STOMP against a scripted broker: what real ones do seldom, and what other programs on the port do."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from device_agent.config.sources import StompConfig
from device_agent.ports import Verdict
from device_agent.sources.courier import Courier
from device_agent.sources.stomp import source as stomp
from tests.lab.agent import wait_for
from tests.sources.conftest import Board
from tests.sources.stomppeer import Peer, Talk, message

READY = b"CONNECTED\nversion:1.2\n\n\0RECEIPT\nreceipt-id:subscribed\n\n\0"


def settings_for(peer: Peer, **changes: Any) -> StompConfig:
    given = {"name": "in", "kind": "stomp", "stream": "telemetry", "destination": "/queue/q", "url": peer.url}
    return StompConfig(**(given | changes))


def told(board: Board, text: str) -> None:
    """Wait for a problem."""
    wait_for(lambda: text in board.problem(), what=text)


def test_nothing_is_acknowledged_before_the_disk_and_then_each_by_its_own_header(board: Board) -> None:
    answers: list[list[str]] = []

    def play(talk: Talk) -> None:
        talk.greet()
        talk.send(message(1, b"one") + message(2, b"two"))
        answers.append(talk.rest())

    board.sink.hold = True
    with Peer(play) as peer:
        board.start(settings_for(peer))
        board.sink.wait(lambda: len(board.sink.payloads()) == 2)
        assert not [frame for frame in peer.talks[0].frames if "ACK" in frame]
        board.sink.hold = False
        board.sink.commit()
        wait_for(lambda: board.status()["under_way"] == 0, what="the answers")
        board.stop(drain=5.0)
    assert answers == [["ACK\nid:a1\n\n", "ACK\nid:a2\n\n"]]


def test_it_asks_for_the_window_in_the_words_of_each_broker(board: Board) -> None:
    def play(talk: Talk) -> None:
        talk.greet()
        talk.rest()

    with Peer(play) as peer:
        board.start(settings_for(peer, window=7, durable=True, destination="/topic/q", virtual_host=""))
        board.stop(drain=5.0)
        connect, subscribe, disconnect = peer.talks[0].frames
    assert connect == "CONNECT\naccept-version:1.1,1.2\nclient-id:board-7.in\nheart-beat:30000,30000\nhost:127.0.0.1\n\n"
    assert set(subscribe.splitlines()) == {
        "SUBSCRIBE", "id:board-7.in", "destination:/topic/q", "ack:client-individual", "receipt:subscribed", "activemq.prefetchSize:7",
        "prefetch-count:7", "consumer-window-size:28672", "activemq.subscriptionName:board-7.in", "durable-subscription-name:board-7.in",
        "durable:true", "auto-delete:false", "",
    }  # fmt: skip
    assert disconnect == "DISCONNECT\nreceipt:bye\n\n"


def test_version_1_1_has_acknowledgements_of_its_own(board: Board) -> None:
    answers: list[list[str]] = []

    def play(talk: Talk) -> None:
        talk.greet(version="1.1")
        talk.send(b"MESSAGE\nsubscription:1\nmessage-id:m\\c1\ndestination:/queue/q\n\none\0")
        talk.send(b"MESSAGE\nsubscription:1\nmessage-id:m2\ndestination:/queue/q\n\n" + b"x" * 2000 + b"\0")
        answers.append(talk.rest())

    with Peer(play) as peer:
        board.start(settings_for(peer, max_reading=1000))
        board.sink.wait_for(1)
        wait_for(lambda: board.sink.aside, what="the large one")
        wait_for(lambda: board.status()["under_way"] == 0, what="the answers")
        board.stop(drain=5.0)
    assert sorted(answers[0]) == ["ACK\nmessage-id:m\\c1\nsubscription:1\n\n", "NACK\nmessage-id:m2\nrequeue:false\nsubscription:1\n\n"]


def test_an_acknowledgement_goes_over_the_connection_that_its_message_came_by(board: Board) -> None:
    """Brokers use ids again: what was taken before must not acknowledge what comes after."""
    answers: list[list[str]] = []
    first_is_over = threading.Event()

    def first(talk: Talk) -> None:
        talk.greet()
        talk.send(message(7, b"before"))
        assert first_is_over.wait(60)

    def second(talk: Talk) -> None:
        talk.greet()
        talk.send(message(7, b"after"))
        answers.append(talk.rest())

    board.sink.hold = True
    with Peer(first, second) as peer:
        board.begin(settings_for(peer))
        board.sink.wait_for(1)
        first_is_over.set()
        board.sink.wait_for(2)
        board.sink.hold = False
        board.sink.commit()
        wait_for(lambda: board.counters.replies + board.counters.replies_lost == 2, what="both answers")
        board.stop(drain=5.0)
    assert answers == [["ACK\nid:a7\n\n"]], "once, for the second"


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (b"ERROR\nmessage:Bad CONNECT\n\n\nAccess refused\nmore\0", "refuses the connection: Bad CONNECT: Access refused; check"),
        (b"ERROR\n\n\0", "refuses the connection: it does not say why; check username"),
        (b"ERROR\nmessage:\x1b[31m\\nred" + b"r" * 9000 + b"\n\n\0", "refuses the connection: [31m red"),
        (b"CONNECTED\n\n\0", "speaks STOMP 1.0 only"),
        (b"CONNECTED\nversion:1.2\nheart-beat:x\n\n\0", "answers with a heart-beat of 'x', which is not two numbers"),
        (b"CONNECTED\nversion:1.2\n\n\0ERROR\nmessage:no queue\n\n\0", "refuses to subscribe to /queue/q: no queue; correct destination"),
        (READY + b"ERROR\nmessage:deleted\n\n\0", "has ended the connection: deleted"),
        (b"CONNECTED\nversion:1.2\n\n\0MESSAGE\nmessage-id:1\n\nx\0", "cannot be acknowledged"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak STOMP: it says 'HTTP/1.1 400 Bad Request'; is it a STOMP broker"),
        (b"MESSAGE\nack:1\ncontent-length:1\n\nabc\0", "does not end where its content-length says"),
        (b"CONNECTED\nx:" + b"y" * 300_000, "more than 256 KiB of headers"),
        (b"CONNECTED\nver", "has ended the connection"),
        (b"", "has ended the connection"),
    ],
    ids=range(13),
)  # fmt: skip
def test_what_the_broker_says_is_told_in_one_sentence(board: Board, said: bytes, problem: str) -> None:
    def play(talk: Talk) -> None:
        talk.frame()
        talk.send(said)

    with Peer(play) as peer:
        board.begin(settings_for(peer))
        told(board, problem)
        assert board.problem().startswith(peer.url)
        assert board.problem().isprintable()
        assert len(board.problem()) < 500
        board.stop()


def test_a_broker_that_never_answers_is_given_up(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stomp, "_ANSWER", 0.2)
    ended = threading.Event()
    with Peer(lambda talk: ended.wait(60) and None) as peer:
        board.begin(settings_for(peer))
        told(board, "does not answer within 0.2 s")
        ended.set()
        board.stop()


def test_a_broker_that_falls_silent_is_given_up(board: Board) -> None:
    """It promised a heart-beat each second; the connection alone says nothing for hours when a cable is pulled."""

    def play(talk: Talk) -> None:
        talk.greet(beats="1000,0")
        while talk.frame():
            pass

    with Peer(play) as peer:
        board.start(settings_for(peer, heart_beat=1.0))
        told(board, "s, though it promised heart-beats; connecting again")
        board.stop()


def test_heart_beats_go_on_while_the_spool_is_full_and_nothing_spins(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []
    wait = Courier.wait
    monkeypatch.setattr(Courier, "wait", lambda self, *args, **more: (waits.append(args[1]), wait(self, *args, **more))[1])
    beaten, idle = threading.Event(), threading.Event()

    def play(talk: Talk) -> None:
        talk.greet(beats="0,1000")
        talk.wait_for_beats(2)
        idle.set()
        talk.send(message(1, b"x") + message(2, b"y"))
        talk.wait_for_beats(5)
        beaten.set()
        talk.rest()

    board.sink.verdicts["telemetry"] = Verdict.FULL
    with Peer(play) as peer:
        board.start(settings_for(peer, heart_beat=1.0))
        assert idle.wait(60)
        assert len(waits) < 20, "two heart-beats and the greeting"
        assert beaten.wait(60)
        assert len(waits) < 100, "and for each fifth of a second that the spool is full"
        board.sink.verdicts.clear()
        board.sink.wait_for(2)
        board.stop(drain=5.0)


def test_frames_that_come_byte_by_byte_are_taken(board: Board) -> None:
    def play(talk: Talk) -> None:
        talk.greet()
        for byte in message(1, b"\0one\0\n\0") + b"\n\n":
            talk.send(bytes([byte]))
        talk.rest()

    with Peer(play) as peer:
        board.start(settings_for(peer))
        assert board.sink.wait_for(1) == [b"\0one\0\n\0"]
        assert board.topics() == ["/queue/q"]
        board.stop(drain=5.0)


def test_a_stop_takes_nothing_more_and_acknowledges_what_is_on_disk(board: Board) -> None:
    answers: list[list[str]] = []
    stopping = threading.Event()

    def play(talk: Talk) -> None:
        talk.greet()
        talk.send(message(1, b"one"))
        assert stopping.wait(60)
        talk.send(message(2, b"two"))
        answers.append(talk.rest())

    board.sink.hold = True
    with Peer(play) as peer:
        board.start(settings_for(peer))
        board.sink.wait_for(1)
        stop = threading.Thread(target=lambda: board.stop_sources(drain=60.0))
        stop.start()
        wait_for(lambda: board._keeper._kept["in"]._courier.stopping, what="the stop")  # type: ignore[union-attr]
        stopping.set()
        board.sink.hold = False
        board.sink.commit()
        stop.join()
        board.stop()
    assert board.sink.payloads() == [b"one"]
    assert answers == [["ACK\nid:a1\n\n"]]


def test_a_broker_that_does_not_confirm_the_end_is_not_waited_for_long(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stomp, "_LEAVE", 0.2)

    def play(talk: Talk) -> None:
        talk.greet()
        while talk.frame():
            pass

    with Peer(play) as peer:
        board.start(settings_for(peer))
        board.stop_sources(drain=5.0)
        assert peer.talks[0].frames[-1].startswith("DISCONNECT")
        board.stop()
