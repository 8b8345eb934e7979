"""Spellings of one operator's name come together; the one that was written first is shown."""

from collections.abc import Sequence
from typing import Final

from alembic import op

from libs.postgres.rls import create_tenant_tables

revision: Final = "0009"
down_revision: Final = "0008"

NAME: Final = """(
    tenant text NOT NULL,
    operator text NOT NULL,
    spelling text COLLATE "C" NOT NULL,
    received_at timestamptz NOT NULL,
    scanned_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, operator, spelling)
)"""

# As `libs.names.comparable`: the same blanks as Python's.
COMPARABLE: Final = r"""
CREATE FUNCTION comparable(name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT btrim(regexp_replace(normalize(name, NFC),
        '[\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+',
        ' ', 'g'), ' ')
$$"""
GONE: Final = "DROP FUNCTION comparable(text)"

# A worker of the version before writes names as they are spelled: if one ran on afterwards,
# `rebuild build activity box presence removal scan_log`.
HOLD: Final = (
    "LOCK TABLE activity, activity_total, box, presence, removal, scan_log IN EXCLUSIVE MODE"
)
FILL: Final = """
INSERT INTO operator_name
SELECT DISTINCT ON (tenant, operator)
    tenant, comparable(operator), operator, received_at, scanned_at
FROM scan_log ORDER BY tenant, operator, received_at, scanned_at
"""

_LATEST: Final = "last_received_at DESC, last_at DESC, last_scan_id DESC"


def _merge(table: str, key: str, name: str, columns: dict[str, str], where: str = "") -> str:
    """Rows whose `name` is spelled otherwise than the comparable one are added to that one's."""
    others = ", ".join(one for one in key.split(", ") if one != name)
    filled = ", ".join(columns)
    merged = ", ".join(columns.values())
    return f"""
WITH spelled AS (
    DELETE FROM {table} WHERE {name} <> comparable({name}){where} RETURNING *
), together AS (
    SELECT * FROM spelled
    UNION ALL
    SELECT * FROM {table} WHERE ({key}) IN (
        SELECT {key.replace(name, f"comparable({name})")} FROM spelled
    )
)
INSERT INTO {table} ({others}, {name}, {filled})
SELECT {others}, comparable({name}), {merged} FROM together GROUP BY {others}, comparable({name})
ON CONFLICT ({key}) DO UPDATE SET {", ".join(f"{one} = excluded.{one}" for one in columns)}
"""  # noqa: S608  # every name is ours


def _sums(*columns: str) -> dict[str, str]:
    return {column: f"sum({column})" for column in columns}


def _latest(*columns: str) -> dict[str, str]:
    return {column: f"(array_agg({column} ORDER BY {_LATEST}))[1]" for column in columns}


MERGE: Final[Sequence[str]] = (
    _merge("presence", "tenant, operator", "operator", {"last_seen_at": "max(last_seen_at)"}),
    _merge(
        "activity",
        "tenant, day, operator, client, city, kind",
        "operator",
        _sums("count", "removed")
        | _latest("last_received_at", "last_at", "last_scan_id", "last_box"),
    ),
    _merge(
        "activity_total",
        "tenant, day, dimension, name",
        "name",
        _sums("count", "removed", "items", "opens", "closes", "auto_closes", "errors")
        | _latest("last_received_at", "last_at", "last_scan_id")
        | _latest("last_client", "last_city", "last_box"),
        where=" AND dimension = 'operator'",
    ),
    _merge(
        "box",
        "tenant, day, client, city, box, operator",
        "operator",
        {
            "number_key": "min(number_key)",
            "items": "sum(items)",
            "first_at": "min(first_at)",
            "last_at": "max(last_at)",
            "opened_at": "max(opened_at)",
            "first_turn": "min(first_turn)",
            "last_turn": "max(last_turn)",
            "first_ahead": "min(first_ahead)",
            "last_ahead": "max(last_ahead)",
        },
    ),
    *(
        f"UPDATE {table} SET {name} = comparable({name}) WHERE {name} <> comparable({name})"  # noqa: S608
        for table, name in (
            ("scan_log", "operator"),
            ("removal", "operator"),
            ("removal", "removed_by"),
        )
    ),
)


def upgrade() -> None:
    """Create the table, fenced by tenant; fill it, and let what is there come together."""
    create_tenant_tables(op, {"operator_name": NAME})
    op.execute(COMPARABLE)
    op.execute(HOLD)
    op.execute(FILL)
    for statement in MERGE:
        op.execute(statement)
    op.execute(GONE)
