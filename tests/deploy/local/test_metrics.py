"""The view's figures come from two readings of what services tell Prometheus."""

import pytest

from deploy.local.metrics import Figures, Sample, figures_between, read_totals

EXPOSITION = """\
# TYPE tillstream_projected_events_total counter
tillstream_projected_events_total{projection="dashboard"} 40
tillstream_projected_events_total{projection="raw"} 2
# TYPE tillstream_relay_backlog_events gauge
tillstream_relay_backlog_events 3
# TYPE python_info gauge
python_info{version="3.11"} 1
"""


def test_a_metric_is_summed_over_its_labels_and_strangers_are_left_out() -> None:
    assert read_totals(EXPOSITION) == {
        "tillstream_projected_events_total": 42,
        "tillstream_relay_backlog_events": 3,
    }


def test_rates_need_two_readings_and_levels_one() -> None:
    earlier = Sample(at=10.0, totals={"tillstream_projected_events_total": 2})
    later = Sample(at=12.0, totals=read_totals(EXPOSITION))

    first, second = figures_between(None, later), figures_between(earlier, later)

    assert first == Figures(per_second={}, waiting={"backlog": 3})
    assert second == Figures(per_second={"projected": 20}, waiting={"backlog": 3})


def test_a_restarted_counter_gives_no_rate_instead_of_a_negative_one() -> None:
    earlier = Sample(at=10.0, totals={"tillstream_relayed_events_total": 1_000})
    later = Sample(at=11.0, totals={"tillstream_relayed_events_total": 5})

    assert figures_between(earlier, later).per_second == {}


def test_what_is_no_exposition_is_refused() -> None:
    with pytest.raises(ValueError, match="could not convert"):
        read_totals("tillstream_relay_backlog_events many")
