"""Endpoints: what is bound, what is refused with which words, and what `check` sees without binding."""

from __future__ import annotations

import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from device_agent.config import InputConfig, Pattern
from device_agent.errors import ConfigError
from device_agent.intake import check_inputs, receiver_path
from tests.intake.conftest import Bench
from tests.lab.agent import wait_for


def config(*bind: str, name: str = "in", pattern: Pattern = Pattern.PULL, connect: tuple[str, ...] = ()) -> InputConfig:
    return InputConfig(name=name, pattern=pattern, stream="telemetry", bind=bind, connect=connect)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_in_use_is_named_with_the_input_and_what_to_do(bench: Bench, taken: int) -> None:
    with pytest.raises(ConfigError) as error:
        bench.start(config(f"tcp://127.0.0.1:{taken}"))
    assert str(error.value) == (
        f"input in: cannot bind tcp://127.0.0.1:{taken}: another program has it (`ss -ltnp 'sport = :{taken}'` shows which); "
        "stop that one or choose another endpoint"
    )


def test_when_one_input_cannot_be_bound_none_stays_open(bench: Bench, taken: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="input second"):
        bench.start(config(f"ipc://{tmp_path}/first", name="first"), config(f"tcp://127.0.0.1:{taken}", name="second"))
    bench.start(config(f"ipc://{tmp_path}/first", name="first"))


def test_an_address_that_this_machine_does_not_have_is_named(bench: Bench) -> None:
    with pytest.raises(ConfigError, match=r"tcp://192\.0\.2\.1:5555: this machine has no such address"):
        bench.start(config("tcp://192.0.2.1:5555"))


def test_a_second_agent_does_not_steal_an_ipc_path(bench: Bench, tmp_path: Path) -> None:
    push = bench.client(zmq.PUSH, bench.run(bind=(f"ipc://{tmp_path}/in",)))
    with pytest.raises(ConfigError, match="another agent has it"):
        bench.start(config(f"ipc://{tmp_path}/in", name="thief"))
    push.send(b"still heard")
    assert bench.sink.wait_for(1) == [b"still heard"]


def test_the_ipc_path_of_another_zeromq_program_is_not_stolen(bench: Bench, tmp_path: Path) -> None:
    with bench.context.socket(zmq.PULL) as other:
        other.bind(f"ipc://{tmp_path}/in")
        with pytest.raises(ConfigError, match="another program listens there"):
            bench.start(config(f"ipc://{tmp_path}/in"))


def test_a_file_at_the_ipc_path_is_not_deleted(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("precious")
    with pytest.raises(ConfigError, match="a file that is not a socket"):
        bench.start(config(f"ipc://{tmp_path}/in"))
    assert (tmp_path / "in").read_text() == "precious"


def test_a_socket_that_a_crash_left_behind_is_replaced(bench: Bench, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "in"))
    push = bench.client(zmq.PUSH, bench.run(bind=(f"ipc://{tmp_path}/in",)))
    push.send(b"a")
    assert bench.sink.wait_for(1) == [b"a"]


def test_owner_and_group_may_connect_to_an_ipc_path_and_nobody_else(bench: Bench, tmp_path: Path) -> None:
    bench.run(bind=(f"ipc://{tmp_path}/in",))
    assert stat.S_IMODE((tmp_path / "in").stat().st_mode) == 0o660


def test_an_ipc_path_that_is_too_long_is_named(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="more than 107 bytes"):
        bench.start(config(f"ipc://{tmp_path}/{'x' * 108}"))


def test_several_endpoints_feed_one_input(bench: Bench, tmp_path: Path) -> None:
    intake = bench.start(config("tcp://127.0.0.1:*", f"ipc://{tmp_path}/in"))
    for endpoint in intake.status()["in"]["endpoints"]:
        bench.client(zmq.PUSH, endpoint).send(b"a")
    bench.sink.wait_for(2)
    wait_for(lambda: intake.status()["in"]["peers"] == 2)  # libzmq tells of a connection when it comes to it
    assert intake.status()["in"] == {
        "pattern": "pull",
        "endpoints": intake.status()["in"]["endpoints"],
        "peers": 2,
        "state": "read",
        "receiver": receiver_path(),
    }


def test_an_input_can_connect_to_its_peers(bench: Bench, tmp_path: Path) -> None:
    with bench.context.socket(zmq.PUSH) as push:
        push.bind(f"ipc://{tmp_path}/out")
        bench.start(config(connect=(f"ipc://{tmp_path}/out",)))
        push.send(b"a")
        assert bench.sink.wait_for(1) == [b"a"]


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this kernel has no IPv6")
def test_ipv6_endpoints_work(bench: Bench) -> None:
    push = bench.client(zmq.PUSH, bench.run(bind=("tcp://[::1]:*",)), options={zmq.IPV6: 1})
    push.send(b"a")
    assert bench.sink.wait_for(1) == [b"a"]


@pytest.mark.skipif(zmq.has("pgm"), reason="this libzmq speaks PGM")
def test_multicast_without_support_says_which_library_has_it(bench: Bench) -> None:
    endpoint = "epgm://lo;239.192.1.1:5555"
    with pytest.raises(ConfigError, match="was built without epgm; Debian's python3-zmq has it"):
        bench.start(config(connect=(endpoint,), pattern=Pattern.SUB))
    (mistake,) = check_inputs([config(connect=(endpoint,), pattern=Pattern.SUB)])
    assert "was built without epgm" in str(mistake)
    assert mistake.key == ("input", "in", "connect")


@pytest.mark.skipif(not zmq.has("pgm"), reason="this libzmq was built without PGM; Debian's python3-zmq has it")
@pytest.mark.parametrize("verb", ["bind", "connect"])
def test_a_subscriber_hears_a_multicast_publisher_and_only_its_topics(bench: Bench, verb: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"epgm://127.0.0.1;239.192.1.1:{free.getsockname()[1]}"
    bound, connected = ((endpoint,), ()) if verb == "bind" else ((), (endpoint,))
    bench.start(
        InputConfig(
            name="in", pattern=Pattern.SUB, stream="telemetry", bind=bound, connect=connected, topic="first-frame", subscribe=("a", "b")
        )
    )
    with bench.context.socket(zmq.PUB) as pub:
        pub.setsockopt(zmq.LINGER, 0)
        pub.setsockopt(zmq.RATE, 10_000)
        pub.bind(endpoint)
        for number in range(500):
            pub.send_multipart([b"abc"[number % 3 : number % 3 + 1], b"%d" % number])
            if len(bench.sink.payloads()) >= 10:
                break
            time.sleep(0.02)
    readings = [
        (topic, payload) for batch in bench.sink.batches for topic, payload in zip(batch.run.topics or (), batch.run.payloads, strict=True)
    ]
    assert len(readings) >= 10
    assert {topic for topic, _ in readings} == {"a", "b"}
    numbers = [int(bytes(payload)) for _, payload in readings if isinstance(payload, bytes)]
    assert numbers == sorted(numbers)


def test_check_finds_every_mistake_at_once_and_binds_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    mistakes = check_inputs(
        [
            config(f"ipc://{tmp_path}/none/in", f"ipc://{tmp_path}/file", name="one"),
            config("tcp://127.0.0.1:5555", name="two"),
            config("tcp://127.0.0.1:5555", name="two"),
            config("nonsense", name="three"),
            config(name="four"),
        ]
    )
    assert [str(mistake).split(";")[0] for mistake in mistakes] == [
        f"input one: ipc://{tmp_path}/none/in: directory {tmp_path}/none does not exist",
        f"input one: ipc://{tmp_path}/file: there is a file that is not a socket",
        "input three: nonsense: is no endpoint",
        "input four: has neither `bind` nor `connect`",
        "input two: tcp://127.0.0.1:5555 is bound by input two already",
        "input two: the name is used twice",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_check_is_silent_about_good_inputs(tmp_path: Path) -> None:
    assert not check_inputs([config("tcp://127.0.0.1:*", f"ipc://{tmp_path}/in", name="one"), config("tcp://127.0.0.1:*", name="two")])
