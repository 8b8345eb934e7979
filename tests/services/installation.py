"""Databases as an earlier version of the services left them, to be gone on with by this one.

`installation/<service>.json` has every row of a small platform of the demo profile that was stopped
before the modules of the services were moved and renamed; `secrets.json` has the keys it seals
with, and what its clients hold. Transactions have numbers there that every cluster has seen.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import asyncpg

from libs.postgres import revisions
from libs.postgres.migrate import migrate
from libs.postgres.revisions import VERSION_TABLE

HOME: Final = Path(__file__).with_name("installation")
SECRETS: Final[dict[str, Any]] = json.loads((HOME / "secrets.json").read_text())
PASSWORD: Final[str] = SECRETS["password"]
STOPPED_AT: Final = datetime.fromisoformat(SECRETS["stopped_at"])

_COLUMNS: Final = """
SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum),
    string_agg(CASE WHEN attnotnull AND atttypid = 'jsonb'::regtype
        THEN format('coalesce(%I, ''null'')', attname) ELSE quote_ident(attname) END, ', '
        ORDER BY attnum)
FROM pg_attribute
WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""
"""Of a table, and what they are filled with: JSON's null in a row stands for both kinds of null."""


async def restore(service: str, url: str, folder: Path) -> None:
    """Make the service's database as it was, and migrate it. `folder` must be an empty one."""
    stored = json.loads((HOME / f"{service}.json").read_text())
    last = stored["tables"].pop(VERSION_TABLE)[0]["version_num"]
    (folder / "versions").mkdir()
    for file in sorted((revisions.folder_of(service) / "versions").glob("0*.py")):
        if file.stem[:4] <= last[:4]:
            (folder / "versions" / file.name).write_text(file.read_text())
    migrate(service, url, migrations=folder)
    await _fill(service, url, stored)
    migrate(service, url)


async def _fill(service: str, url: str, stored: dict[str, Any]) -> None:
    connection = await asyncpg.connect(url)
    try:
        # Without triggers, of which some refuse to delete and some look up foreign keys.
        await connection.execute("SET session_replication_role = replica")
        for table, rows in stored["tables"].items():
            name = f"{service}.{table}"
            [(columns, values)] = await connection.fetch(_COLUMNS, name)
            await connection.execute(f"DELETE FROM {name}")
            await connection.execute(
                f"""INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE
                SELECT {values} FROM json_populate_recordset(NULL::{name}, $1::text::json)""",
                json.dumps(rows),
            )
        for sequence, value in stored["sequences"].items():
            await connection.execute(f"SELECT setval('{service}.{sequence}', $1)", value)
    finally:
        await connection.close()
