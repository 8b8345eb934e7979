"""What the peer takes and answers."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID, uuid4

from pydantic import BaseModel, Field

Short = Annotated[str | None, Field(max_length=100)]


class EventCreate(BaseModel):
    """One scan of a batch; `ts` counts milliseconds."""

    uuid: UUID = Field(default_factory=uuid4)
    ts: int = Field(ge=0)
    type: str = Field(max_length=50)
    operator: str = Field(max_length=100)
    client: Short = None
    city: Short = None
    box: Short = None
    code: str | None = Field(default=None, max_length=500)
    details: str | None = None
    source: str = Field(default="pwa", max_length=50)

    def row(self) -> dict[str, object]:
        """Its columns."""
        return self.model_dump() | {"ts": datetime.fromtimestamp(self.ts / 1000, UTC)}


class BatchRequest(BaseModel):
    """Up to a hundred scans."""

    events: list[EventCreate] = Field(min_length=1, max_length=100)


class BatchResponse(BaseModel):
    """How many were new."""

    ok: bool = True
    inserted: int
    skipped: int
    duplicates: list[UUID]


class VerifyRequest(BaseModel):
    """Which uuids to look for."""

    uuids: list[UUID] = Field(min_length=1, max_length=1000)


class VerifyResponse(BaseModel):
    """Those that are stored."""

    ok: bool = True
    present: list[UUID]


class OperatorState(BaseModel):
    """One operator's day."""

    operator: str
    online: bool
    onlineAgeSec: int  # noqa: N815 -- the clients' spelling
    lastSeenMs: int  # noqa: N815
    lastClient: str | None  # noqa: N815
    lastCity: str | None  # noqa: N815
    lastBox: str | None  # noqa: N815
    itemsToday: int  # noqa: N815
    errorsToday: int  # noqa: N815


class Summary(BaseModel):
    """The sums of the day."""

    items: int = 0
    opens: int = 0
    closes: int = 0
    errors: int = 0


class DashboardState(BaseModel):
    """What the dashboard shows."""

    generatedAt: datetime  # noqa: N815
    operators: list[OperatorState]
    summary: Summary
