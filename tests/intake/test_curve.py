"""CURVE: who may connect, who a reading is from, and what is wrong with key files."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import zmq
import zmq.auth

from device_agent.config import CurveConfig, InputConfig, Pattern
from device_agent.errors import ConfigError
from device_agent.intake import check_inputs, make_keys
from tests.intake.conftest import Bench


class Keys:
    """Keys of an input and of two boards, one of which may connect."""

    def __init__(self, directory: Path) -> None:
        self.server, self.secret = make_keys(directory, "server")
        (directory / "allowed").mkdir()
        self.friend = make_keys(directory / "allowed", "friend")
        self.stranger = make_keys(directory, "stranger")
        self.config = CurveConfig(secret_key=str(self.secret), allow=(str(directory / "allowed"),))

    def options(self, pair: tuple[Path, Path]) -> dict[int, bytes]:
        public, secret = zmq.auth.load_certificate(pair[1])
        server, _ = zmq.auth.load_certificate(self.server)
        assert secret is not None
        return {zmq.CURVE_SERVERKEY: server, zmq.CURVE_PUBLICKEY: public, zmq.CURVE_SECRETKEY: secret}

    @staticmethod
    def client(pair: tuple[Path, Path]) -> str:
        return zmq.auth.load_certificate(pair[0])[0].decode()


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def test_the_authenticated_key_is_the_client_of_a_reading(bench: Bench, keys: Keys) -> None:
    push = bench.client(zmq.PUSH, bench.run(curve=keys.config), options=keys.options(keys.friend))
    push.send(b"a")
    push.send_multipart([b"b", b"c"])
    assert bench.sink.wait_for(2) == [b"a", [b"b", b"c"]]
    clients = [client for batch in bench.sink.batches for client in batch.run.clients or ()]
    assert clients == [Keys.client(keys.friend)] * 2


def test_a_request_over_curve_is_answered_and_has_its_client(bench: Bench, keys: Keys) -> None:
    req = bench.client(zmq.REQ, bench.run(Pattern.REP, curve=keys.config), options=keys.options(keys.friend))
    req.send(b"a")
    assert json.loads(req.recv())["ok"]
    assert list(bench.sink.batches[0].run.clients or ()) == [Keys.client(keys.friend)]


def test_a_peer_with_another_key_is_denied_and_the_log_names_it(bench: Bench, keys: Keys, caplog: pytest.LogCaptureFixture) -> None:
    endpoint = bench.run(curve=keys.config)
    stranger = bench.client(zmq.PUSH, endpoint, options=keys.options(keys.stranger))
    friend = bench.client(zmq.PUSH, endpoint, options=keys.options(keys.friend))
    stranger.send(b"from a stranger")
    friend.send(b"from a friend")
    assert bench.sink.wait_for(1) == [b"from a friend"]
    assert [Keys.client(keys.stranger) in message for message in caplog.messages if "denied" in message] == [True]


def test_a_peer_without_curve_is_denied(bench: Bench, keys: Keys) -> None:
    endpoint = bench.run(curve=keys.config)
    plain = bench.client(zmq.PUSH, endpoint, options={zmq.IMMEDIATE: 1})
    friend = bench.client(zmq.PUSH, endpoint, options=keys.options(keys.friend))
    friend.send(b"a")
    bench.sink.wait_for(1)
    assert not plain.poll(100, zmq.POLLOUT)  # never connected


def test_each_input_has_its_own_list(bench: Bench, keys: Keys, tmp_path: Path) -> None:
    other = CurveConfig(secret_key=str(keys.secret), allow=(str(keys.stranger[0]),))
    intake = bench.start(
        InputConfig(name="in", pattern=Pattern.PULL, stream="telemetry", bind=("tcp://127.0.0.1:*",), curve=keys.config),
        InputConfig(name="other", pattern=Pattern.PULL, stream="events", bind=(f"ipc://{tmp_path}/in",), curve=other),
    )
    wrong = bench.client(zmq.PUSH, intake.status()["in"]["endpoints"][0], options=keys.options(keys.stranger))
    right = bench.client(zmq.PUSH, intake.status()["other"]["endpoints"][0], options=keys.options(keys.stranger))
    wrong.send(b"wrong")
    right.send(b"right")
    assert bench.sink.wait_for(1) == [b"right"]


def test_a_secret_that_others_can_read_stops_the_start(bench: Bench, keys: Keys) -> None:
    keys.secret.chmod(0o640)
    with pytest.raises(ConfigError, match=r"can be read by others \(mode 0640\); run: chmod 600"):
        bench.run(curve=keys.config)


def test_keys_are_made_with_the_right_modes_and_never_overwritten(tmp_path: Path) -> None:
    public, secret = make_keys(tmp_path / "keys", "board")
    assert (public.name, secret.name) == ("board.key", "board.key_secret")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(public.stat().st_mode) == 0o644
    assert zmq.auth.load_certificate(public)[0] == zmq.auth.load_certificate(secret)[0]
    before = secret.read_bytes()
    with pytest.raises(ConfigError, match="never overwritten"):
        make_keys(tmp_path / "keys", "board")
    assert secret.read_bytes() == before


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a\nb"])
def test_a_name_that_is_none_for_a_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="no name for a key"):
        make_keys(tmp_path, name)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "has no line `secret-key"),
        ('    secret-key = "too short"\n', "not a key of 40 characters"),
        ('    secret-key = "' + "\\" * 40 + '"\n', "not a key of 40 characters"),
        ('    secret-key = "' + "#" * 40 + '"\n', "not a key of 40 characters"),
    ],
)
def test_check_says_what_is_wrong_with_a_key_file(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    path.chmod(0o600)
    config = InputConfig(
        name="in",
        pattern=Pattern.PULL,
        stream="s",
        bind=("inproc://x",),
        curve=CurveConfig(secret_key=str(path), allow=(str(tmp_path / "no"),)),
    )
    ignored, secret, allow = map(str, check_inputs([config]))
    assert "ignores CURVE on inproc" in ignored
    assert str(path) in secret
    assert reason in secret
    assert "no such file or directory" in allow
