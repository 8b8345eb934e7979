"""The few figures the view shows, out of what every service tells Prometheus anyway."""

from collections.abc import Mapping
from dataclasses import dataclass, field

RATES: Mapping[str, str] = {
    "requests": "tillstream_http_requests_total",
    "appended": "tillstream_appended_events_total",
    "relayed": "tillstream_relayed_events_total",
    "projected": "tillstream_projected_events_total",
}
LEVELS: Mapping[str, str] = {
    "backlog": "tillstream_relay_backlog_events",
    "lag": "tillstream_projection_lag_events",
}
WANTED = frozenset({*RATES.values(), *LEVELS.values()})


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """Events (or requests) per second by stage, and events still to do; absent means unknown."""

    per_second: Mapping[str, float] = field(default_factory=dict)
    queued: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One reading of `/metrics` at a moment of the monotonic clock, in seconds."""

    at: float
    totals: Mapping[str, float]


def read_totals(exposition: str) -> dict[str, float]:
    """Sum each metric we know over its labels. Raises `ValueError` when it is not an exposition.

    Only the lines we know are looked at: the parser of the library makes objects of all of them,
    which took the supervisor most of its computing and some megabytes.
    """
    totals: dict[str, float] = {}
    for line in exposition.splitlines():
        name, labels, rest = line.partition("{")
        if not labels:
            name, _, rest = line.partition(" ")
        if name in WANTED:
            # A label may hold blanks and braces, so the value is looked for from behind.
            value, *_ = (rest.rpartition("}")[2] or rest).split()
            totals[name] = totals.get(name, 0.0) + float(value)
    return totals


def figures_between(earlier: Sample | None, later: Sample) -> Figures:
    """Levels as they are; rates only from two readings. A restarted counter gives no rate once."""
    queued = {
        name: later.totals[metric] for name, metric in LEVELS.items() if metric in later.totals
    }
    rates: dict[str, float] = {}
    for name, metric in RATES.items():
        if earlier is None or metric not in later.totals or later.at <= earlier.at:
            continue
        grown = later.totals[metric] - earlier.totals.get(metric, 0.0)
        if grown >= 0:
            rates[name] = grown / (later.at - earlier.at)
    return Figures(per_second=rates, queued=queued)
