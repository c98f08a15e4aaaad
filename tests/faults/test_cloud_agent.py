"""Faults of the cloud and of the way there, under the running agent: readings are taken all the while, the status says what is wrong,
and everything arrives once the cloud is well again, in order and with one content for each number."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.sqs.model import SqsError
from tests.lab.agent import wait_for
from tests.lab.board import Board
from tests.lab.leaks import watched
from tests.lab.proxy import Fate, Faults, Proxy

#: What a status may call what the proxy does.
TOLD = {
    Fate.ERROR: "fault of its own",
    Fate.UNAVAILABLE: "",
    Fate.THROTTLE: "fewer requests",
    Fate.LOST: "",
    Fate.HANG: "",
    Fate.CUT_REQUEST: "",
    Fate.CUT_ANSWER: "",
    Fate.PARTIAL: "",
}


@pytest.fixture(scope="module")
def shared_board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """One agent for all tests of this file: each leaves the cloud well, and nothing on the way."""
    with watched(), Board(tmp_path_factory.mktemp("c"), read_timeout="1s") as board:
        board.agent.start()
        yield board


def _in_order(shared_board: Board) -> bool:
    """Whether the FIFO queue got the envelopes by their numbers, however often each."""
    found = [one.deduplication_id for one in shared_board.sqs.accepted if one.group is not None]
    firsts = [int(str(ident).rpartition("-")[2], 10) for ident in dict.fromkeys(found)]
    return firsts == sorted(firsts)


@pytest.mark.parametrize("fate", TOLD, ids=lambda fate: fate.value.replace(" ", "-"))
def test_the_cloud_fails_for_a_while(fate: Fate, shared_board: Board) -> None:
    shared_board.proxy.faults = Faults(rate=1.0, kinds=(fate,))
    for name in ("pipeline", "bulk"):
        assert all(answer.ok for answer in shared_board.ask(60, name=name)), "readings are taken while the cloud is away"
    for stream in ("events", "telemetry"):
        said = wait_for(lambda stream=stream: (up := shared_board.uplink(stream))["problem"] and up, what="the status")  # type: ignore[misc]
        assert TOLD[fate] in said["problem"]
    shared_board.proxy.heal()
    shared_board.everything_arrives()
    wait_for(lambda: shared_board.uplink()["state"] == "ok", what="the status")
    assert _in_order(shared_board)


@pytest.mark.slow
def test_the_cloud_fails_at_random_under_load(shared_board: Board) -> None:
    shared_board.proxy.faults = Faults(rate=0.6)
    for _ in range(30):
        shared_board.ask(20)
        shared_board.ask(20, name="bulk")
    shared_board.proxy.heal()
    shared_board.everything_arrives()
    assert _in_order(shared_board)


def test_a_latency_of_a_second_costs_time_and_nothing_else(shared_board: Board) -> None:
    shared_board.proxy.faults = Faults(every=0.9, only="")
    assert all(answer.ok for answer in shared_board.ask(200))
    shared_board.everything_arrives()
    shared_board.proxy.heal()


@pytest.mark.slow
def test_over_a_modem_a_backlog_too_large_for_one_request_arrives_in_smaller_ones(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A request of all that waits takes twice as long as the agent waits for an answer; a single envelope a quarter, on a busy machine less
    than all of it."""
    with Board(tmp_path_factory.mktemp("c"), read_timeout="5s") as board:
        board.agent.start()
        board.proxy.faults = Faults(rate=1.0, kinds=(Fate.ERROR,))
        assert all(answer.ok for answer in board.ask(450, size=1000, name="bulk"))
        board.proxy.faults = Faults(bandwidth=60_000)  # bytes a second; 0.6 MB wait, in envelopes of at most 64 KiB
        board.everything_arrives(300)


def test_a_queue_that_is_deleted_and_made_again_gets_everything(shared_board: Board) -> None:
    shared_board.sqs.model.delete_queue("events.fifo")
    shared_board.ask(20)
    said = wait_for(lambda: (up := shared_board.uplink())["problem"] and up, what="the status")
    assert "does not exist" in said["problem"]
    shared_board.sqs.create("events.fifo")
    shared_board.everything_arrives()
    with pytest.raises(SqsError):
        shared_board.sqs.model.url("nothing.fifo")


def test_a_host_name_that_does_not_resolve_is_told_and_waited_for(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Board(tmp_path_factory.mktemp("c"), endpoint="http://sqs.nowhere.invalid:1234") as board:
        board.agent.start()
        assert all(answer.ok for answer in board.ask(20))
        said = wait_for(lambda: (up := board.uplink())["problem"] and up, what="the status")
        assert "sqs.nowhere.invalid" in said["problem"]
        assert board.agent.stop() == 0
        # the name comes back, as far as a test can do it: the same spool, another endpoint
        board.agent.config.write_text(board.agent.config.read_text().replace("http://sqs.nowhere.invalid:1234", board.proxy.url))
        board.agent.start()
        board.everything_arrives()


def test_a_certificate_of_nobody_we_know_gets_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    pytest.importorskip("cryptography")
    from tests.fakes.tls import Authority

    folder = tmp_path_factory.mktemp("c")
    stranger = Authority(folder)
    tls = stranger.server(stranger.issue("stranger"))
    with Board(folder) as board, Proxy(board.proxy.upstream, tls=tls) as middle:
        config = board.agent.config.read_text()
        board.agent.config.write_text(config.replace(board.proxy.url, middle.url.replace("127.0.0.1", "localhost")))
        board.agent.start()
        assert all(answer.ok for answer in board.ask(20))
        said = wait_for(lambda: (up := board.uplink())["problem"] and up, what="the status")
        assert "certificate" in said["problem"].lower()
        assert sum(middle.seen.values()) == 0, "nothing was said to a stranger"
        assert board.sqs.accepted == []
        board.agent.kill()
        board.agent.config.write_text(config)
        board.agent.start()
        board.everything_arrives()
