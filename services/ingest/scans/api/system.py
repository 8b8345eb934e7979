"""Public routes: name, health and metrics (§2.11)."""

import asyncio
from typing import Final

import structlog
from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse
from prometheus_client import Gauge

from libs.http.auth import public
from libs.http.health import CheckResult, run_checks
from libs.http.manifest import traffic, unpublished
from libs.postgres import query
from libs.postgres.pool import Pool
from libs.telemetry.metrics import exposition
from services.ingest.context import Deps, Ingest

VERSION: Final = "1.0.0"
COUNT_SECONDS: Final = 2.0

OPEN: Final = Gauge(
    "ingest_quarantine_open",
    "Quarantined events nobody has decided about",
    ["code"],
    multiprocess_mode="livemostrecent",
)
_codes: Final[set[str]] = set()
"""The codes that were reported before: they are set to 0 when no event has them any more."""

log = structlog.get_logger(__name__)
router = APIRouter(tags=["system"], dependencies=[Depends(public)])


@router.get("/")
@traffic("none")
async def root() -> dict[str, str]:
    """The API's name and links. Scanners call it to check the address."""
    return {
        "name": "Scanner Logger API",
        "version": VERSION,
        "docs": "/docs",
        "redoc": "/redoc",
        "health": "/health",
        "metrics": "/metrics",
    }


@router.get("/ping")
@traffic("none")
async def ping() -> dict[str, bool | str]:
    """Alive."""
    return {"ok": True, "message": "pong"}


@router.get("/health")
@traffic("none")
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


@router.get("/metrics")
@unpublished
async def metrics(ingest: Ingest) -> Response:
    """Prometheus text; what waits in quarantine is counted now, if the database answers."""
    try:
        async with asyncio.timeout(COUNT_SECONDS):
            await _count_quarantine(ingest)
    except Exception as error:  # noqa: BLE001 -- all other figures are needed most just then
        log.info("quarantine not counted", error=type(error).__name__)
    body, content_type = exposition("ingest")
    return Response(body, media_type=content_type)


async def _count_quarantine(ingest: Deps) -> None:
    counts = await ingest.count_quarantine()
    _codes.update(counts)
    for code in _codes:
        OPEN.labels(code).set(counts.get(code, 0))


async def check_database(pool: Pool) -> CheckResult:
    """Whether the database answers; raises as `acquire`."""
    return CheckResult(await query.fetchval(pool, "SELECT true"))
