"""Golden keys: what is stored is looked for under the same key for ever. Added to, never edited."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agent.wire import ledger
from device_agent.wire.errors import EnvelopeError
from device_agent.wire.limits import MAX_SEQ
from device_agent.wire.ranges import Ranges

EPOCH = "00112233aabbccdd"


def test_golden_keys() -> None:
    assert ledger.Line("board-7", "telemetry", EPOCH).pk == "board-7|telemetry|00112233aabbccdd"
    assert ledger.claim_sk(1) == "c|00000000000000000001"
    assert ledger.claim_sk(MAX_SEQ) == "c|09223372036854775807"
    assert ledger.notice_sk(5, 17) == "x|00000000000000000005|00000000000000000017"
    assert ledger.folded_sk(0) == "r|00000000000000000000"
    assert ledger.EPOCH == "e"
    assert ledger.registry_pk(12) == "epochs|12"
    assert ledger.registry_sk("board-7", "telemetry") == "board-7|telemetry"
    assert ledger.position_sk("events") == "stream|events"
    assert ledger.topic_sk("events", "lamp|kitchen") == "topic|events|lamp|kitchen"
    assert ledger.lake_key("telemetry", "2026-01-31", "0" * 32) == f"readings/stream=telemetry/dt=2026-01-31/{'0' * 32}.json.gz"


def test_golden_shards() -> None:
    assert [ledger.shard(device) for device in ("board-7", "board-8", "raspberrypi-k3x9", "a")] == [11, 10, 15, 3]


def test_the_void_object_is_an_empty_gzip_file() -> None:
    assert gzip.decompress(ledger.VOID) == b""
    assert len(ledger.VOID) == 20


def test_ordinal_and_folded_ranges_are_neighbours_apart_from_claims_and_notices() -> None:
    low, high = ledger.KNOWN
    assert all(low <= key <= high for key in (ledger.EPOCH, ledger.folded_sk(0), ledger.folded_sk(10**9)))
    assert not any(low <= key <= high for key in (ledger.claim_sk(MAX_SEQ), ledger.notice_sk(1, MAX_SEQ)))


@given(st.lists(st.from_regex(r"[a-z0-9]{1,12}", fullmatch=True), max_size=20), st.integers(1, 70))
def test_every_device_is_in_one_bucket_and_found_in_its_partitions(devices: list[str], buckets: int) -> None:
    for device in devices:
        bucket = ledger.bucket(device, buckets)
        assert 0 <= bucket < buckets
        assert ledger.shard(device) in ledger.shards(bucket, buckets)


def test_whole_partitions_are_looked_after_where_that_is_possible() -> None:
    assert [list(ledger.shards(bucket, 4)) for bucket in range(4)] == [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15]]
    assert list(ledger.shards(37, 64)) == [5]
    assert list(ledger.shards(4, 5)) == list(range(16))
    with pytest.raises(ValueError, match="bucket 5 of 5"):
        ledger.shards(5, 5)


def test_golden_bookmark() -> None:
    assert (ledger.CLOSING, ledger.closing_sk(3, 16)) == ("closing", "16|3")


@given(st.lists(st.integers(1, MAX_SEQ), min_size=2, max_size=5))
def test_claims_sort_as_their_numbers(numbers: list[int]) -> None:
    assert sorted(map(ledger.claim_sk, numbers)) == list(map(ledger.claim_sk, sorted(numbers)))


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 50))))
def test_ranges_survive_their_text(pairs: list[tuple[int, int]]) -> None:
    ranges = Ranges((first, first + more) for first, more in pairs)
    assert ledger.read_ranges(ledger.write_ranges(ranges)) == ranges


def test_golden_ranges() -> None:
    assert ledger.write_ranges(Ranges([(700, 700), (1, 500)])) == "1-500,700-700"
    assert ledger.write_ranges(Ranges()) == ""


@pytest.mark.parametrize("text", ["1", "1-2-3", "a-b", "5-1", "1-2;3-4"])
def test_what_is_no_text_of_ranges_is_refused(text: str) -> None:
    with pytest.raises(EnvelopeError):
        ledger.read_ranges(text)


def test_registry_and_lake_keys_split_into_what_they_were_made_of() -> None:
    assert ledger.split_registry_sk(ledger.registry_sk("board-7", "telemetry")) == ("board-7", "telemetry")
    assert ledger.split_lake_key(ledger.lake_key("a_b-1", "2026-01-31", "f" * 32)) == ("a_b-1", "2026-01-31", "f" * 32)


@pytest.mark.parametrize(
    "key",
    ["", "readings/stream=s/dt=2026-01-31/x.json.gz", "athena-results/1", f"readings/stream=_s/dt=2026-01-31/{'0' * 32}.json.gz"],
)  # fmt: skip
def test_what_is_no_lake_key_is_refused(key: str) -> None:
    with pytest.raises(EnvelopeError):
        ledger.split_lake_key(key)
