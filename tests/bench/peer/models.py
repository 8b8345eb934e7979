"""The peer's one table, as the seed describes it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, Index, String, Text, Uuid, func, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """What the tables belong to."""


class Event(Base):
    """A scan. Of the seed's indexes the partial one is left out: no Postgres takes NOW() there."""

    __tablename__ = "events"

    uuid: Mapped[UUID] = mapped_column(
        Uuid, primary_key=True, server_default=func.gen_random_uuid()
    )
    ts: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    type: Mapped[str] = mapped_column(String(50))
    operator: Mapped[str] = mapped_column(String(100))
    client: Mapped[str | None] = mapped_column(String(100))
    city: Mapped[str | None] = mapped_column(String(100))
    box: Mapped[str | None] = mapped_column(String(100))
    code: Mapped[str | None] = mapped_column(String(500))
    details: Mapped[str | None] = mapped_column(Text)
    received_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    source: Mapped[str | None] = mapped_column(String(50), server_default="pwa")
    created_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )

    __table_args__ = (
        Index("idx_events_ts", ts.desc()),
        Index("idx_events_operator", operator, ts.desc()),
        Index("idx_events_client", client, ts.desc()),
        Index("idx_events_type", "type", ts.desc()),
        Index("idx_events_date", text("((ts AT TIME ZONE 'UTC')::date)"), operator),
    )
