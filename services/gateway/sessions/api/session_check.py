"""The internal route by which services check a session: see `libs.http.session_check`.

Only networks that may read the metrics reach it: see `proxy.api.door.InternalOnly`.
"""

from uuid import UUID

from fastapi import APIRouter, Depends

from contracts.gateway import SessionId
from libs.http.auth import public
from services.gateway.context import Gateway
from services.gateway.sessions.handlers import session as sessions

router = APIRouter(
    prefix="/internal/sessions",
    tags=["system"],
    dependencies=[Depends(public)],
    include_in_schema=False,
)


@router.get("/{session_id}")
async def is_live(gateway: Gateway, session_id: UUID) -> dict[str, bool]:
    """Whether the session is live, by the log."""
    return {"live": await sessions.is_live(gateway.identity, str(SessionId(session_id)))}
