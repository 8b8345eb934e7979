"""Tables of jobs: which columns they have, and the statements of a queue."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from libs.postgres.rls import Migration, create_tenant_tables

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

AnyJob = TypeVar("AnyJob", bound="DataclassInstance")

COLUMNS: Final[Mapping[str, str]] = {
    "not_before": "timestamptz",
    "claimed_by": "text",
    "claimed_until": "timestamptz",
    "attempts": "integer NOT NULL DEFAULT 0",
    "error": "text",
    "moved": "bigint",
    "total": "bigint",
}
"""What every table of jobs has. `not_before` is null if nothing is to be done: with an `error` the
job is parked. `attempts` counts failures. Of `total` units of work `moved` are done."""

_FREE: Final = "(claimed_until IS NULL OR claimed_until <= now())"

_CLAIM: Final = """
UPDATE {table} AS job SET claimed_by = $1, claimed_until = now() + $2::interval
FROM ({chosen}) AS chosen WHERE {same} RETURNING {columns}
"""
# The tenant with the fewest claimed jobs comes first: a long queue delays its own tenant only.
_FAIR: Final = """
SELECT one.* FROM (
    SELECT DISTINCT tenant FROM {table} WHERE {due}
) AS queued, LATERAL (
    SELECT count(*) AS jobs FROM {table}
    WHERE tenant = queued.tenant AND claimed_until > now()
) AS claimed, LATERAL (
    SELECT {key}, not_before FROM {table} WHERE tenant = queued.tenant AND {due}
    ORDER BY not_before, {key} LIMIT $3 FOR UPDATE SKIP LOCKED
) AS one
ORDER BY claimed.jobs + row_number() OVER (PARTITION BY one.tenant ORDER BY not_before), not_before
LIMIT $3
"""
_OVERDUE: Final = """
SELECT {key} FROM {table} WHERE deadline_at <= $4 AND {free}
ORDER BY deadline_at LIMIT $3 FOR UPDATE SKIP LOCKED
"""
_NEXT: Final = """
SELECT least(
    extract(epoch FROM (
        SELECT min(not_before) FROM {table} WHERE not_before IS NOT NULL AND {free} {partition}
    ) - $1::timestamptz),
    extract(epoch FROM (
        SELECT min(claimed_until) FROM {table} WHERE claimed_until > now() {partition}
    ) - now())
)::float8
"""
_RENEW: Final = """
UPDATE {table} AS job SET claimed_until = now() + $2::interval
FROM unnest({arrays}) AS chosen ({key}) WHERE {same} AND job.claimed_by = $1
"""
_SAVE_PROGRESS: Final = """
UPDATE {table} AS job SET moved = chosen.moved, total = chosen.total
FROM unnest($2::bigint[], $3::bigint[], {arrays}) AS chosen (moved, total, {key})
WHERE {same} AND job.claimed_by = $1
"""
_LATER: Final = """
UPDATE {table} SET claimed_by = NULL, claimed_until = NULL, not_before = now() + $1::interval
WHERE {match}
"""
_RELEASE: Final = """
UPDATE {table} SET claimed_by = NULL, claimed_until = NULL WHERE claimed_by = $1 AND {match}
"""
_FAIL: Final = """
UPDATE {table} SET claimed_by = NULL, claimed_until = NULL, attempts = attempts + 1, error = $2,
    not_before = CASE WHEN attempts + 1 < $3
        THEN $4::timestamptz + least($5::interval * 2 ^ least(attempts, 30), $6::interval) END
WHERE claimed_by = $1 AND {match} RETURNING not_before IS NULL
"""
_PARKED: Final = "not_before IS NULL AND error IS NOT NULL"
_LIST: Final = """
SELECT {texts}, attempts, error FROM {table} WHERE {parked} ORDER BY {key} LIMIT 1000
"""
_RETRY: Final = """
UPDATE {table} SET not_before = now(), attempts = 0, error = NULL WHERE {parked} AND {same_texts}
"""
_DROP: Final = "DELETE FROM {table} WHERE {parked} AND {same_texts}"
_MEASURE: Final = """
SELECT queued, coalesce(extract(epoch FROM $1::timestamptz - first), 0)::float8 AS oldest_seconds,
    (SELECT count(*) FROM {table} WHERE claimed_until > now() {partition}) AS claimed,
    (SELECT count(*) FROM {table} WHERE {parked} {partition}) AS parked
FROM (
    SELECT count(*) AS queued, min(not_before) AS first FROM {table}
    WHERE not_before <= $1 AND {free} {partition}
) AS due
"""


class JobTable(Generic[AnyJob]):
    """A table of jobs, whose statements are in its attributes.

    `row` is a dataclass; its fields are columns. `key` are the columns of the primary key with
    their types, the tenant first. If there is a column `partition`, a queue has the jobs of one of
    its values, or those without one. Without `parks` the table lacks `attempts` and `error`: no job
    fails or is parked.
    """

    def __init__(
        self,
        name: str,
        row: type[AnyJob],
        *,
        key: Mapping[str, str],
        partition: str = "",
        parks: bool = True,
    ) -> None:
        self.name, self.row, self.key = name, row, key
        self.partition = partition
        self.columns = [one.name for one in fields(row)]
        self._words = {
            "table": name,
            "key": ", ".join(key),
            "columns": ", ".join(f"job.{column}" for column in self.columns),
            "same": " AND ".join(f"job.{column} = chosen.{column}" for column in key),
            "free": _FREE,
            "parked": _PARKED if parks else "false",
            "texts": ", ".join(f"{column}::text" for column in key),
            "same_texts": " AND ".join(f"{one}::text = ${at}" for at, one in enumerate(key, 1)),
        }
        self.put = self._put()
        # By whether the queue has the jobs without a partition: no index serves both conditions.
        self.claim = [self._claim(_FAIR, due=self._due(unset)) for unset in (False, True)]
        self.claim_overdue = self._claim(_OVERDUE)
        self.next_due, self.measure = (
            [self._filled(one, partition=self._of(unset, "$2")) for unset in (False, True)]
            for one in (_NEXT, _MEASURE)
        )
        self.renew = self._filled(_RENEW, arrays=self._arrays(3))
        self.save_progress = self._filled(_SAVE_PROGRESS, arrays=self._arrays(4))
        self.later = self._filled(_LATER, match=self.match(2))
        self.release = self._filled(_RELEASE, match=self.match(2))
        self.fail = self._filled(_FAIL, match=self.match(7))
        self.done = f"DELETE FROM {name} WHERE {self.match(1)}"  # noqa: S608 -- names from the code
        self.list_parked = self._filled(_LIST)
        self.retry, self.drop = self._filled(_RETRY), self._filled(_DROP)

    def match(self, first: int) -> str:
        """The condition for one job, whose key are the parameters from number `first` on."""
        return " AND ".join(f"{one} = ${at}" for at, one in enumerate(self.key, first))

    def _put(self) -> str:
        own = [one for one in (self.partition,) if one and one not in self.columns]
        columns = [*self.columns, "not_before", *own]
        values = ", ".join(f"${number + 1}" for number in range(len(columns)))
        return (
            f"INSERT INTO {self.name} ({', '.join(columns)}) VALUES ({values})"  # noqa: S608
            f" ON CONFLICT ({', '.join(self.key)}) DO NOTHING"
        )

    def _claim(self, chosen: str, **words: str) -> str:
        return self._filled(_CLAIM, chosen=self._filled(chosen, **words))

    def _due(self, unset: bool) -> str:
        return f"not_before <= $4 AND {_FREE} {self._of(unset, '$5')}"

    def _of(self, unset: bool, parameter: str) -> str:
        """The condition that a job is in a partition, or in none."""
        if not self.partition:
            return ""
        return f"AND {self.partition} IS NULL" if unset else f"AND {self.partition} = {parameter}"

    def _arrays(self, first: int) -> str:
        return ", ".join(f"${at}::{kind}[]" for at, kind in enumerate(self.key.values(), first))

    def _filled(self, statement: str, **words: str) -> str:
        return statement.format(**self._words, **words)


def create_job_table(
    op: Migration, table: JobTable[AnyJob], columns: Mapping[str, str], indexes: Iterable[str] = ()
) -> None:
    """Create a table of jobs with row-level security by tenant.

    `columns` are those of its own with their definitions, without the key.
    """
    name, keys = table.name, {one: f"{kind} NOT NULL" for one, kind in table.key.items()}
    lines = [f"{one} {kind}" for one, kind in {**keys, **columns, **COLUMNS}.items()]
    definition = f"({', '.join(lines)}, PRIMARY KEY ({', '.join(table.key)}))"
    order = ", ".join(one for one in (table.partition, "not_before") if one)
    create_tenant_tables(
        op,
        {name: f"{definition} WITH (fillfactor = 70)"},
        (
            f"CREATE INDEX {name}_due ON {name} ({order}) WHERE not_before IS NOT NULL",
            f"CREATE INDEX {name}_claimed ON {name} (tenant) WHERE claimed_until IS NOT NULL",
            f"CREATE INDEX {name}_parked ON {name} (tenant) WHERE {_PARKED}",
            *indexes,
        ),
    )
