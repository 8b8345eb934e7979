"""What anybody may ask: who is there, and is all well (§2.11)."""

from typing import Final

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from libs.http.auth import public
from libs.http.health import CheckResult, run_checks
from libs.postgres.pool import Pool, acquired
from services.ingest.deps import Ingest

VERSION: Final = "1.0.0"

router = APIRouter(tags=["system"], dependencies=[Depends(public)])


@router.get("/")
async def root() -> dict[str, str]:
    """The name of the house. Scanners ask here whether the address is right."""
    return {
        "name": "Scanner Logger API",
        "version": VERSION,
        "docs": "/docs",
        "redoc": "/redoc",
        "health": "/health",
        "metrics": "/metrics",
    }


@router.get("/ping")
async def ping() -> dict[str, bool | str]:
    """Alive."""
    return {"ok": True, "message": "pong"}


@router.get("/health")
async def health(ingest: Ingest) -> JSONResponse:
    """Whether the database answers; 503 if not."""
    results = await run_checks({"database": lambda: check_database(ingest.reading)})
    well = results["database"].ok
    body = {
        "status": "healthy" if well else "unhealthy",
        "version": VERSION,
        "database": "connected" if well else "disconnected",
    }
    return JSONResponse(body, 200 if well else 503)


async def check_database(pool: Pool) -> CheckResult:
    """Whether it answers at all; raises what `acquired` raises."""
    async with acquired(pool) as connection:
        return CheckResult(await connection.fetchval("SELECT true"))
