"""The rows of the read model `shown`, and how they are kept."""

from typing import Final

from sqlalchemy import Column, DateTime, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

SHOWN: Final = Table(
    "shown",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("device_id", Uuid, primary_key=True),
    Column("plu", Text, primary_key=True),
    Column("seen_at", DateTime(timezone=True), primary_key=True),
    Column("operation_id", Uuid, primary_key=True),
    Column("product", JSONB),
)
"""`product` is null from when on it was shown no more."""

SHOWING: Final = Table(
    "showing",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("device_id", Uuid, primary_key=True),
    Column("plu", Text, primary_key=True),
    Column("seen_at", DateTime(timezone=True), nullable=False),
    Column("operation_id", Uuid, nullable=False),
    Column("product", JSONB),
)
"""The last row of `shown` for each product."""

READING: Final = Table(
    "reading",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("device_id", Uuid, primary_key=True),
    Column("at", DateTime(timezone=True), primary_key=True),
    Column("told_by", Uuid, primary_key=True),
    Column("kind", Text, primary_key=True),
)
"""`kind` is read, written or lost; `told_by` an operation, or the event that says it was lost."""

KEEP: Final = """
INSERT INTO shown (tenant, device_id, plu, seen_at, operation_id, product)
SELECT tenant, device_id, plu, seen_at, operation_id, product::jsonb
FROM unnest($1::text[], $2::uuid[], $3::text[], $4::timestamptz[], $5::uuid[], $6::text[])
    AS given (tenant, device_id, plu, seen_at, operation_id, product) ORDER BY 1, 2, 3, 4, 5
ON CONFLICT DO NOTHING
"""

KEEP_LAST: Final = """
INSERT INTO showing AS known (tenant, device_id, plu, seen_at, operation_id, product)
SELECT tenant, device_id, plu, seen_at, operation_id, product::jsonb
FROM unnest($1::text[], $2::uuid[], $3::text[], $4::timestamptz[], $5::uuid[], $6::text[])
    AS given (tenant, device_id, plu, seen_at, operation_id, product) ORDER BY 1, 2, 3
ON CONFLICT (tenant, device_id, plu) DO UPDATE SET seen_at = excluded.seen_at,
    operation_id = excluded.operation_id, product = excluded.product
WHERE (excluded.seen_at, excluded.operation_id) > (known.seen_at, known.operation_id)
"""

KEEP_READING: Final = """
INSERT INTO reading (tenant, device_id, at, told_by, kind)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::timestamptz[], $4::uuid[], $5::text[])
ORDER BY 1, 2, 3, 4, 5
ON CONFLICT DO NOTHING
"""
