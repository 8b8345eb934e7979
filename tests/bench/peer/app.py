"""The seed as a plain FastAPI + SQLAlchemy service: validate, insert, query the same table.

Served by granian: `granian --interface asgi --factory tests.bench.peer.app:create_app`, with
`DATABASE_URL` (postgresql+asyncpg://…) and `API_KEY` in the environment.
"""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Security
from fastapi.security import APIKeyHeader
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from tests.bench.peer import store
from tests.bench.peer.store import (
    Base,
    BatchRequest,
    BatchResponse,
    DashboardState,
)


def create_app() -> FastAPI:
    """The app; its tables are made when it starts."""
    app = FastAPI(title="Scanner Logger API", lifespan=_lifespan)
    app.include_router(router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=20, max_overflow=10)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    app.state.api_key = os.environ["API_KEY"]
    yield
    await engine.dispose()


async def check_key(
    request: Request,
    key: Annotated[str | None, Security(APIKeyHeader(name="X-API-Key", auto_error=False))],
) -> None:
    """Refuse whoever does not know the key."""
    if key is None or not secrets.compare_digest(key.encode(), request.app.state.api_key.encode()):
        raise HTTPException(401, "Invalid or missing API key")


async def open_session(request: Request) -> AsyncIterator[AsyncSession]:
    """A session per request."""
    async with request.app.state.sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(open_session)]
router = APIRouter(prefix="/api/v1", dependencies=[Depends(check_key)])


@router.post("/events/batch")
async def batch(request: BatchRequest, session: Session) -> BatchResponse:
    """Store a batch, ignoring what is known."""
    new = await store.store(session, request.events)
    duplicates = [event.uuid for event in request.events if event.uuid not in new]
    return BatchResponse(inserted=len(new), skipped=len(duplicates), duplicates=duplicates)


@router.get("/dashboard/state")
async def state(
    session: Session, date: date | None = None, operator: str | None = None
) -> DashboardState:
    """The day's operators and sums."""
    day = date or datetime.now(UTC).date()
    operators, summary = await store.state(session, day, operator)
    return DashboardState(generatedAt=datetime.now(UTC), operators=operators, summary=summary)
