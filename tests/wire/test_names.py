"""Names fit wherever they are used unescaped: group ids, S3 keys, URIs, file names."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agent.wire import names
from device_agent.wire.errors import EnvelopeError
from device_agent.wire.limits import MAX_SEQ

devices = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}", fullmatch=True)
streams = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,39}", fullmatch=True)


@given(devices, streams)
def test_a_device_and_a_stream_make_a_group_id_that_splits_in_one_way(device: str, stream: str) -> None:
    assert names.is_device(device)
    assert names.is_stream(stream)
    group = f"{device}.{stream}"
    assert re.fullmatch(r"[!-~]{1,128}", group)
    assert tuple(group.rsplit(".", 1)) == (device, stream)
    assert names.source(device, stream) == f"/devices/{device}/streams/{stream}"


@given(st.text(max_size=100))
def test_what_is_no_name_is_refused(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,79}", text, re.ASCII):
        assert not names.is_device(text)
    if not re.fullmatch(r"[a-z0-9][a-z0-9_\-]{0,39}", text, re.ASCII):
        assert not names.is_stream(text)
    if not re.fullmatch(r"[0-9a-f]{16}", text, re.ASCII):
        assert not names.is_epoch(text)


@pytest.mark.parametrize("name", ["", "a" * 81, ".a", "-a", "a b", "a/b", "\u00e4", "a\n", "a|b", "a\x00"])
def test_not_a_device(name: str) -> None:
    assert not names.is_device(name)


@pytest.mark.parametrize("name", ["", "a" * 41, "A", "a.b", "_a", "a\n", "a=b", "\u0661"])
def test_not_a_stream(name: str) -> None:
    assert not names.is_stream(name)


@pytest.mark.parametrize(("first", "last"), [(0, 1), (2, 1), (1, MAX_SEQ + 1), (True, 1), (1.0, 2), ("1", 2), (None, 1)])
def test_not_a_range(first: object, last: object) -> None:
    with pytest.raises(EnvelopeError):
        names.check_range(first, last)


def test_ids_of_envelopes_and_notices_never_meet() -> None:
    assert names.envelope_id("00112233aabbccdd", 7) == "00112233aabbccdd-7"
    assert names.notice_id("00112233aabbccdd", 7, 9) == "00112233aabbccdd-x7-9"


@pytest.mark.parametrize("wrong", [{"device": 1}, {"device": "a b"}, {"stream": None}, {"epoch": "0" * 15}, {"epoch": b"0" * 16}])
def test_an_identity_with_a_wrong_name_is_refused(wrong: dict[str, object]) -> None:
    good = {"device": "d", "stream": "s", "epoch": "0" * 16}
    names.check_identity(**good)
    with pytest.raises(EnvelopeError):
        names.check_identity(**good | wrong)
