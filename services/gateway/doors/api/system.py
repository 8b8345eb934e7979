"""Routes about the gateway itself: identity, liveness, health, public keys."""

from hashlib import sha256
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from libs.errors import Unavailable
from libs.http.auth import public
from libs.http.conditional import ETAG, not_modified, strong_tag
from libs.postgres import query
from libs.security.tokens import jwks
from services.gateway.context import Deps, Gateway

router = APIRouter(tags=["system"], dependencies=[Depends(public)])

VERSION: Final = "1.0.0"
JWKS_SECONDS: Final = 300


@router.get("/")
async def about() -> dict[str, str]:
    """Name and links (spec ingest §2.11). The scanner tests its connection here, with `?ping=1`."""
    return {
        "name": "Scanner Logger API",
        "version": VERSION,
        "docs": "/docs",
        "redoc": "/redoc",
        "health": "/health",
        "metrics": "/metrics",
    }


@router.get("/ping")
async def ping() -> dict[str, Any]:
    """Whether the process answers."""
    return {"ok": True, "message": "pong"}


@router.get("/health")
async def health(gateway: Gateway, response: Response) -> dict[str, str]:
    """Whether the database answers (spec ingest §2.11); 503 if not, though doors may still open."""
    if not await database_answers(gateway):
        response.status_code = 503
        return {"status": "unhealthy", "version": VERSION, "database": "disconnected"}
    return {"status": "healthy", "version": VERSION, "database": "connected"}


@router.get("/.well-known/jwks.json")
async def key_set(request: Request, gateway: Gateway) -> Response:
    """The public keys that services check our tokens with (RFC 7517); 304 to who has them."""
    answer = JSONResponse(jwks(gateway.signing_keys))
    etag = strong_tag(sha256(answer.body).hexdigest()[:32])
    headers = {"Cache-Control": f"public, max-age={JWKS_SECONDS}", ETAG: etag}
    answer.headers.update(headers)
    return not_modified(request, etag, headers) or answer


async def database_answers(gateway: Deps) -> bool:
    """Whether the gateway's database answers."""
    try:
        await query.execute(gateway.system, "SELECT 1")
    except Unavailable:
        return False
    return True
