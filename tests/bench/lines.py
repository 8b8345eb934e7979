"""The table of lines: what can be measured, in the order it is."""

from typing import Final

from tests.bench import (
    appends,
    dashboard,
    exports,
    freshness,
    gateway,
    ingest,
    logins,
    platform,
    projector,
    rebuild,
    relay,
    scales,
    whole,
)
from tests.bench.bench import Line

LINES: Final = (
    Line(name="appends", what="one-event appends to the log", run=appends.run),
    Line(name="ingest", what="HTTP ingest of 20-event batches", run=ingest.run),
    Line(name="gateway", what="the same through the gateway", run=gateway.run),
    Line(name="logins", what="logins through the gateway, and who waits for them", run=logins.run),
    Line(name="whole", what="the whole line at once", run=whole.run),
    Line(name="relay", what="from the log to Kafka", run=relay.run),
    Line(name="projector", what="from Kafka into a read model", run=projector.run),
    Line(name="freshness", what="from accepted to visible", run=freshness.run),
    Line(name="rebuild", what="the dashboard from the log", run=rebuild.run),
    Line(name="exports", what="CSV and XLSX of a whole day", run=exports.run),
    Line(name="dashboard", what="dashboard/state, few and many events", run=dashboard.run),
    Line(name="scales", what="a scale's whole catalogue there and back", run=scales.run),
    Line(name="platform", what="memory and start of everything", run=platform.run),
)


class UnknownLine(Exception):
    """There is no such line."""


def chosen(names: str) -> list[Line]:
    """The lines named, by blanks or commas; all of them if none is. Raises UnknownLine."""
    wanted = names.replace(",", " ").split()
    if unknown := set(wanted) - {line.name for line in LINES}:
        raise UnknownLine(", ".join(sorted(unknown)))
    return [line for line in LINES if not wanted or line.name in wanted]
