from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from bench import acks, chart, disk
from bench.__main__ import beside_others
from bench.goals import GOALS, Figure, not_measured, of_rounds, percentile, ratios, spread
from bench.peer import Peer
from bench.readings import Readings, generate, load, read


def test_results_keep_the_last_run_of_each_kind_of_machine(tmp_path: Path) -> None:
    target = tmp_path / "results.json"
    for name, figure in (("b", 1), ("a", 2), ("b", 3)):
        target.write_text(json.dumps(beside_others(target, {"machine": {"name": name}, "figures": figure})))
    assert {name: one["figures"] for name, one in json.loads(target.read_text()).items()} == {"a": 2, "b": 3}


def test_a_goal_that_is_a_least_is_met_from_its_value_up_and_one_that_is_a_most_from_its_value_down() -> None:
    assert of_rounds("durable_ingest_ratio", [1.0]).met
    assert not of_rounds("durable_ingest_ratio", [0.99]).met
    assert of_rounds("rss_full_mib", [112]).met
    assert not of_rounds("rss_full_mib", [112.1]).met


def test_what_could_not_be_measured_is_not_met_and_has_no_value() -> None:
    figure = not_measured("rss_full_mib", "no /proc")
    assert not figure.met
    assert figure.document()["value"] is None
    assert "no /proc" in figure.document()["note"]


def test_a_goal_with_a_second_condition_is_met_only_if_both_hold() -> None:
    assert not of_rounds("drain_ratio", [5.0], also=False).met


def test_a_figure_is_the_median_of_its_rounds_and_keeps_them() -> None:
    figure = of_rounds("drain_ratio", [3.0, 1.0, 2.0])
    assert figure.value == 2.0
    assert figure.document()["rounds"] == [3.0, 1.0, 2.0]


def test_every_figure_of_the_table_says_value_goal_unit_and_whether_it_is_met() -> None:
    for name in GOALS:
        assert {"value", "goal", "unit", "met"} <= set(of_rounds(name, [1.0]).document())


def test_a_round_is_held_against_the_mean_of_the_references_before_and_after_it() -> None:
    assert ratios([1.0, 3.0], [1.0, 3.0, 3.0]) == [0.5, 1.0]
    assert ratios([1.0, 3.0], [2.0, 3.0]) == [0.5, 1.0]


@pytest.mark.parametrize(("ours", "reference"), [([], []), ([1.0], []), ([1.0], [1.0, 1.0, 1.0])])
def test_rounds_without_their_reference_are_refused(ours: list[float], reference: list[float]) -> None:
    with pytest.raises(ValueError, match="rounds"):
        ratios(ours, reference)


def test_the_spread_is_the_distance_of_the_extremes_over_the_median() -> None:
    assert spread([9.0, 10.0, 12.0]) == pytest.approx(0.3)
    assert spread([10.0]) == 0.0


def test_a_percentile_is_a_value_that_occurred() -> None:
    values = [float(number) for number in range(1, 101)]
    assert percentile(values, 0.99) == 99.0
    assert percentile(values, 0.5) == 50.0
    assert percentile([7.0], 0.99) == 7.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_a_reply_may_take_a_millisecond_beside_the_disk() -> None:
    assert acks.over_fsync(0.005, 0.002) == pytest.approx(2.0)
    assert acks.over_fsync(0.0005, 0.002) == 0.0


def test_many_clients_are_held_against_the_smaller_of_twenty_single_ones_and_most_of_an_echo() -> None:
    assert acks.shared(100.0, 2000.0, 1e6) == pytest.approx(1.0)
    assert acks.shared(1e6, 6000.0, 10_000.0) == pytest.approx(1.0)


def test_sectors_written_are_the_seventh_field_of_the_kernels_counters() -> None:
    assert disk.sectors("      57        0     2154       14       19       74    49952       44        0       64       84\n") == 49952


def test_a_bar_is_longer_the_further_a_figure_is_from_its_goal_and_ends_at_the_edge() -> None:
    assert chart.length(1.0) == 0
    assert chart.length(10.0) == chart.length(1000.0) == -chart.length(0.01)
    assert chart.margin(of_rounds("rss_full_mib", [56.0])) == pytest.approx(2.0)
    assert chart.margin(of_rounds("drain_ratio", [0.25])) == pytest.approx(0.5)
    assert chart.margin(Figure(name="rss_full_mib", value=math.nan)) == 0


def test_the_chart_has_a_row_for_every_figure() -> None:
    picture = chart.draw([of_rounds(name, [1.0]) for name in GOALS], title="a <title>")
    assert all(name in picture for name in GOALS)
    assert "a &lt;title&gt;" in picture


def test_generated_readings_are_ninety_bytes_of_json_and_the_same_in_every_run() -> None:
    readings = generate(2000)
    assert 85 <= readings.average <= 95
    assert readings.payloads == generate(2000).payloads


def test_the_producers_file_gives_back_what_was_written(tmp_path: Path) -> None:
    readings = Readings("some", [b"a", b"", b"\0\n" * 300])
    assert read(readings.write(tmp_path / "readings.bin")) == readings.payloads


def test_bytes_of_a_run_follow_the_producer_round_and_round() -> None:
    readings = Readings("some", [b"a", b"bb"])
    assert readings.bytes_of(5) == 3 + 3 + 1
    assert b"".join(readings.pieces(5, 4)) == b"abbabba"


def test_large_readings_make_shorter_runs() -> None:
    assert Readings("large", [bytes(2**20)]).count(1_000_000) == 400


def test_recorded_readings_are_the_lines_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "recorded"
    path.write_bytes(b'{"a":1}\r\n\n{"a":2}')
    assert load(path).payloads == [b'{"a":1}', b'{"a":2}']
    path.write_bytes(b"\n")
    with pytest.raises(ValueError, match="no readings"):
        load(path)


def test_a_peer_is_a_name_and_a_command() -> None:
    assert Peer.parse("bento=bento -c x=y") == Peer("bento", "bento -c x=y")
    for text in ("bento", "=bento", "a b=c", "bento="):
        with pytest.raises(ValueError, match="NAME=COMMAND"):
            Peer.parse(text)
