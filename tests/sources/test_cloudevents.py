"""CloudEvents: payloads stay what they are, and the reference library reads what we write."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from cloudevents.core.bindings import http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import example, given
from hypothesis import strategies as st

from device_agent.sources import cloudevents

JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KINDS = ["", "application/json", "a/b+json", "text/plain", "x/y"]
ATTRIBUTES: dict[str, Any] = {"id": "1", "subject": "a/b", "qos": 1, "redelivered": False}


def read(event: bytes) -> CloudEvent:
    """What the reference library makes of it."""
    found = JSONFormat().read(None, event)
    assert isinstance(found, CloudEvent)
    return found


@given(
    st.binary() | JSONS.map(lambda value: json.dumps(value).encode()),
    st.sampled_from(KINDS),
)
@example(b"NaN", "application/json")
@example(b'{"a":1}{"b":2}', "application/json")
@example(b" 1 ", "")
@example("\ufeff1".encode(), "application/json")
@example(b"[" * 100_000, "application/json")
@example(b'"\\ud800"', "")
@example(b"\xff", "text/plain")
def test_any_payload_comes_back_out_of_the_event(payload: bytes, content_type: str) -> None:
    event = cloudevents.wrap(payload, source="/devices/d/inputs/i", content_type=content_type, attributes=ATTRIBUTES)
    said = json.loads(event)
    if "data_base64" in said:
        assert base64.b64decode(said["data_base64"]) == payload
    elif content_type.startswith("text/"):
        assert said["data"].encode() == payload
    else:
        assert event.endswith(b'"data":' + payload + b"}")
    found = read(event)
    assert (found.get_id(), found.get_source(), found.get_type()) == ("1", "/devices/d/inputs/i", "device-agent.message.v1")
    assert (found.get_subject(), found.get_extension("qos"), found.get_extension("redelivered")) == ("a/b", 1, False)
    assert (found.get_datacontenttype() or "") == content_type


def test_an_event_without_an_id_gets_one_of_its_own() -> None:
    ids = {json.loads(cloudevents.wrap(b"1", source="/x", attributes={"id": None, "reply": None}))["id"] for _ in range(2)}
    assert len(ids) == 2


def test_what_users_have_added_is_one_attribute() -> None:
    assert cloudevents.texts([("Sensor-Id", "7"), ("Sensor-Id", 8), ("é", b"x")]) == '[["Sensor-Id","7"],["Sensor-Id",8],["é","x"]]'
    assert cloudevents.texts(()) is None


EVENT = CloudEvent({"id": "9", "source": "/s", "type": "t", "datacontenttype": "application/json", "unit": "°C %"}, {"celsius": 21.5})


def test_the_reference_librarys_requests_are_taken() -> None:
    structured = http.to_structured(EVENT, JSONFormat())
    assert cloudevents.check(structured.body) == structured.body
    binary = http.to_binary(EVENT, JSONFormat())
    headers = {name.lower(): value for name, value in binary.headers.items()}
    found = read(cloudevents.from_headers(binary.body, headers, headers["content-type"]))
    assert found.get_attributes() == EVENT.get_attributes()
    assert found.get_data() == EVENT.get_data()


GOOD = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1.50}'


@pytest.mark.parametrize(
    ("body", "events"),
    [(b"[]", []), (b" [ ] ", []), (b"[" + GOOD + b"]", [GOOD]), (b"[" + GOOD + b" ,\n" + GOOD + b"]\n", [GOOD, GOOD])],
)
def test_the_events_of_a_batch_stay_as_they_stand_there(body: bytes, events: list[bytes]) -> None:
    assert cloudevents.split(body) == events


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[", b"[]]", b"[" + GOOD, b"[" + GOOD + b",]", b"[" + GOOD + GOOD + b"]", b"[1]", b"\xff", b"{}", GOOD, b"[" * 100_000,
        b"[NaN]",
        b"[" + GOOD + b"] x",
    ],
)  # fmt: skip
def test_what_is_no_batch_is_said(body: bytes) -> None:
    with pytest.raises(cloudevents.EventError):
        cloudevents.split(body)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{}", "specversion"), (GOOD.replace(b'"1.0"', b'"0.3"'), "specversion"), (GOOD.replace(b'"id":"1",', b""), "'id', a text"),
        (GOOD.replace(b'"1",', b"1,"), "'id', a text"), (GOOD.replace(b'"/s"', b'""'), "'source', a text"), (b"[]", "a JSON object"),
        (GOOD + b"x", "behind the end"), (b"nothing", "not JSON"),
    ],
)  # fmt: skip
def test_what_is_no_event_is_said(body: bytes, why: str) -> None:
    with pytest.raises(cloudevents.EventError, match=why):
        cloudevents.check(body)


@given(st.binary())
def test_any_bytes_are_an_event_or_none(body: bytes) -> None:
    for take in (cloudevents.check, cloudevents.split):
        with suppress(cloudevents.EventError):
            take(body)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, None), (0, "1970-01-01T00:00:00.000000Z"), (1.5, "1970-01-01T00:00:01.500000Z"), (2**63, None), (1e308, None)],
)
def test_a_time_that_is_none_is_left_out(seconds: float | None, text: str | None) -> None:
    assert cloudevents.time(seconds) == text
