"""The tables of orders, and the statements that change them.

What an order says of persons is in the clear here, under row-level security, in columns that are
erased when its key is destroyed.
"""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, DateTime, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from libs.postgres.personal import personal
from libs.postgres.upsert import upsert
from services.shop.orders.domain.contact import CONTACT

PERSON: Final = personal(of="subject")
METADATA: Final = MetaData()
ORDER: Final = Table(
    "customer_orders",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("order_id", BigInteger, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("subject", Text, nullable=False),
    Column("customer_id", BigInteger),
    *(Column(name, Text) for name in ("number", "tracking_token", "status")),
    *(Column(name, Text, info=PERSON) for name in (*CONTACT, "issue_comment")),
    Column("state", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)
"""`state` is the `Order` of the domain. A row is replaced as a whole by the events of a page."""

HISTORY: Final = Table(
    "order_history",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("order_id", BigInteger, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("old_status", Text),
    Column("new_status", Text),
    Column("comment", Text, info=PERSON),
    Column("actor", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
)
COMMENT: Final = Table(
    "order_comment",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("comment_id", BigInteger, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("order_id", BigInteger, nullable=False),
    Column("subject", Text, nullable=False),
    Column("text", Text, info=PERSON),
    Column("author", Text),
    Column("customer_name", Text, info=PERSON),
    Column("is_removed", Boolean, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)
PHOTO: Final = Table(
    "order_photo",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("photo_id", BigInteger, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("order_id", BigInteger, nullable=False),
    Column("subject", Text, nullable=False),
    Column("file", Text),
    Column("photo_type", Text),
    Column("description", Text, info=PERSON),
    Column("customer_feedback", Text),
    Column("feedback_comment", Text, info=PERSON),
    Column("created_at", DateTime(timezone=True), nullable=False),
)
COUNT: Final = Table(
    "order_count",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("status", Text, primary_key=True),
    Column("orders", BigInteger, nullable=False),
)
"""The number of orders in each state: to count them for each page of a list takes too long."""
TABLES: Final = (ORDER, HISTORY, COMMENT, PHOTO, COUNT)

SAVE_ORDER: Final = upsert(ORDER, newer="version", insert_only="created_at")
ADD_COUNT: Final = upsert(COUNT, add="orders")
SAVE_HISTORY: Final = upsert(HISTORY)
SAVE_COMMENT: Final = upsert(
    COMMENT,
    newer="version",
    coalesce=("text", "author", "customer_name"),
    either="is_removed",
    insert_only="created_at",
)
SAVE_PHOTO: Final = upsert(
    PHOTO,
    newer="version",
    coalesce=("file", "photo_type", "description", "customer_feedback", "feedback_comment"),
    insert_only="created_at",
)
