"""Reads what processes use before and after a load, and what batches it was cut into."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, TypeAlias

import psutil

from deploy.local.postgres import query
from tests.bench.costs import MEASURING, Cost, Usage

BACKENDS: Final = """
SELECT pid, CASE WHEN backend_type <> 'client backend' THEN backend_type
    ELSE coalesce(nullif(application_name, ''), 'clients') END
FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND (datname = current_database() OR datname IS NULL)
"""

MARKS: Final = """
SELECT (SELECT coalesce(max(position), 0) FROM ingest.events),
    coalesce(to_jsonb(relay) ->> 'batch', to_jsonb(relay) ->> 'tick'), next_seq,
    (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()), clock_timestamp()
FROM ingest.relay
"""
WRITTEN: Final = (
    "SELECT count(DISTINCT xid), count(*) FROM ingest.events WHERE position > {position}"
)
PROJECTED: Final = """
SELECT count(DISTINCT xmin::text), count(*) FROM ingest.scan_log WHERE received_at >= '{since}'
"""

Usages: TypeAlias = dict[tuple[str, int], Usage]
"""By what a process is and its pid."""

Programs: TypeAlias = Callable[[], Mapping[str, int]]
"""The processes that work, by name."""


class Meter:
    """Reads what the programs named use, and Postgres for one database.

    With `postgres`, the server's pid, also what connections used that ended meanwhile: this is
    known of the server as a whole, and so it includes connections that only measure.
    """

    def __init__(
        self, database_url: str, programs: Programs, *, postgres: int | None = None
    ) -> None:
        self._database_url = database_url
        self._programs = programs
        self._postgres = psutil.Process(postgres) if postgres else None

    @contextmanager
    def measuring(self, cost: Cost) -> Iterator[None]:
        """Add to `cost` what is used inside the block."""
        before, ended = self._read(), self._ended()
        yield
        after = self._read()
        for (name, pid), now in after.items():
            cost.add_usage(name, now - before.get((name, pid), Usage()))
        gone = sum(usage.cpu for known, usage in before.items() if known not in after)
        if self._postgres:
            cost.add_usage("postgres: connections that ended", Usage(self._ended() - ended - gone))

    def _ended(self) -> float:
        if self._postgres is None:
            return 0.0
        times = self._postgres.cpu_times()
        return float(times.children_user + times.children_system)

    def _read(self) -> Usages:
        usages: Usages = {}
        for name, pid in self._programs().items():
            for process in _family(pid):
                usages[name, process.pid] = _usage(process)
        for line in query(self._database_url, BACKENDS).splitlines():
            number, _, name = line.partition("|")
            name = name if name.startswith(MEASURING) else f"postgres: {name}"
            with suppress(psutil.Error):
                usages[name, int(number)] = _usage(psutil.Process(int(number)))
        return usages


class Costs:
    """The costs of one side, sample by sample. The first sample, which warms up, does not count."""

    def __init__(self, title: str, meter: Meter) -> None:
        self._title = title
        self._meter = meter
        self._samples: list[Cost] = []

    @contextmanager
    def sample(self, events: int = 0) -> Iterator[Cost]:
        """What is used inside the block; what else is known of it is added by the caller."""
        cost = Cost(title=self._title, events=events)
        with self._meter.measuring(cost):
            yield cost
        self._samples.append(cost)

    @property
    def micros(self) -> list[float]:
        """CPU per event of every sample."""
        return [cost.micros_per_event for cost in self._samples[1:]]

    @property
    def total(self) -> Cost:
        return Cost.of(self._samples[1:])


def _family(pid: int) -> list[psutil.Process]:
    """A process and what it started; of this one, which started everything, only itself."""
    try:
        process = psutil.Process(pid)
        return [process] if pid == os.getpid() else [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _usage(process: psutil.Process) -> Usage:
    try:
        times = process.cpu_times()
        return Usage(times.user + times.system, process.num_ctx_switches().voluntary)
    except psutil.Error:
        return Usage()


@contextmanager
def counting_batches(database_url: str, cost: Cost) -> Iterator[None]:
    """Add to `cost` how many batches of each stage ingest's new scans were cut into."""
    position, tick, seq, commits, since = _row(database_url, MARKS)
    yield
    _, now_tick, now_seq, now_commits, _ = _row(database_url, MARKS)
    groups, events = _row(database_url, WRITTEN.format(position=position))
    pages, rows = _row(database_url, PROJECTED.format(since=since))
    cost.add_batches(
        {
            "group of appends": (float(groups), float(events)),
            "relay page": (float(now_tick) - float(tick), float(now_seq) - float(seq)),
            "batch into scan_log": (float(pages), float(rows)),
            "transaction of any kind": (float(now_commits) - float(commits), float(events)),
        }
    )


def _row(database_url: str, sql: str) -> list[str]:
    return query(database_url, sql, timeout_seconds=60).split("|")
