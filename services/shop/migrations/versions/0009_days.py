"""The figures of days."""

from typing import Final

from alembic import op

from libs.postgres.rls import create_tenant_tables

revision: Final = "0009"
down_revision: Final = "0008"

TABLES: Final = {
    "day_money": """(
        tenant text NOT NULL,
        stream text NOT NULL,
        money text NOT NULL,
        PRIMARY KEY (tenant, stream)
    )""",
    "day_figure": """(
        tenant text NOT NULL,
        stream text NOT NULL,
        version bigint NOT NULL,
        figure text NOT NULL,
        day date NOT NULL,
        amount bigint NOT NULL,
        PRIMARY KEY (tenant, stream, version, figure)
    )""",
}


def upgrade() -> None:
    """Create the tables of the read model."""
    create_tenant_tables(op, TABLES, ["CREATE INDEX day_figure_day ON day_figure (tenant, day)"])
