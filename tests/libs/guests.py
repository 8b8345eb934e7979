"""The read model of an inn: a table with texts about two persons."""

from pathlib import Path
from typing import Final

from sqlalchemy import BigInteger, Column, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import UUID

from libs.postgres.migrate import migrate
from libs.postgres.personal import personal

STAY: Final = Table(
    "stay",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("guest_id", UUID),
    Column("name", Text, info=personal(of="guest_id")),
    Column("note", Text, nullable=False, info=personal(of="guest_id")),
    Column("host_number", BigInteger),
    Column("host", Text, info=personal(of="host_number")),
    Column("room", Text),
)

_MIGRATION: Final = '''
from alembic import op

from libs.postgres.rls import create_tenant_tables
from libs.postgres.vault_keys import create_vault
from libs.process.service_schema import create_service_schema

revision = "0001"
down_revision = None

STAY = """(
    tenant text, number bigint, guest_id uuid, name text, note text NOT NULL DEFAULT '',
    host_number bigint, host text, room text, PRIMARY KEY (tenant, number)
)"""


def upgrade() -> None:
    # create_service_schema(op)
    create_vault(op)
    create_tenant_tables(op, {"stay": STAY})
'''


def migrate_inn(database: str, folder: Path, *, whole: bool) -> None:
    """Create the vault and the table of stays in the schema `inn`; if `whole`, also a log and all
    else that a service has.
    """
    (folder / "versions").mkdir()
    migration = _MIGRATION.replace("# create", "create") if whole else _MIGRATION
    (folder / "versions" / "0001_inn.py").write_text(migration)
    migrate("inn", database, migrations=folder)
