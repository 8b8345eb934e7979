"""The metadata of the events that a request appends."""

from typing import Annotated

from fastapi import Request, params
from starlette.requests import HTTPConnection

from libs.eventsourcing.log import Metadata
from libs.http.auth import Permission, Principal
from libs.telemetry.traces import current_traceparent


def request_metadata(request: HTTPConnection, caller: Principal) -> Metadata:
    """Who appends them, and by which request or WebSocket, and trace."""
    return Metadata(
        tenant=caller.tenant,
        actor=caller.subject,
        correlation_id=request.scope["request_id"],
        traceparent=current_traceparent(),
    )


def metadata_of(permission: Permission) -> params.Depends:
    """For a route that demands the permission: `Annotated[Metadata, metadata_of(WRITES)]`."""

    async def metadata(
        request: Request, caller: Annotated[Principal, params.Depends(permission)]
    ) -> Metadata:
        return request_metadata(request, caller)

    return params.Depends(metadata)
