"""The doors of this installation: one row each."""

from typing import Final

from services.gateway.domain.door import Door, Limit, Login, Rule, Shape

READ: Final = ("GET", "HEAD")
POST: Final = ("POST",)
DELETE: Final = ("DELETE",)

SCAN: Final = Door(
    name="scan",
    prefix="/scan",
    root=(
        "/api/v1/events",
        "/api/v1/dashboard",
        "/api/v1/logs",
        "/api/v1/export",
        "/api/v1/deletions",
        "/api/v1/quarantine",
    ),
    repeated="/api/v1",
    service="ingest",
    login=Login.API_KEY,
    shape=Shape.DETAIL,
    rules=(
        Rule(READ, "/", None, Limit.NONE),
        Rule(READ, "/ping", None, Limit.NONE),
        Rule(READ, "/health", None, Limit.NONE),
        Rule(POST, "/api/v1/events/batch", "scan:write", Limit.INGEST),
        Rule(POST, "/api/v1/events/verify", "scan:write", Limit.INGEST),
        Rule(POST, "/api/v1/events/remove", "scan:remove", Limit.DASHBOARD),
        Rule(POST, "/api/v1/events/bulk-remove", "scan:remove", Limit.DASHBOARD),
        Rule(DELETE, "/api/v1/events/{}", "scan:remove", Limit.DASHBOARD),
        Rule(READ, "/api/v1/dashboard/*", "scan:read", Limit.DASHBOARD),
        Rule(READ, "/api/v1/logs/*", "scan:read", Limit.DASHBOARD),
        Rule(READ, "/api/v1/export/*", "scan:read", Limit.DASHBOARD),
        Rule(READ, "/api/v1/deletions", "scan:read", Limit.DASHBOARD),
        Rule(READ, "/api/v1/quarantine", "scan:read", Limit.DASHBOARD),
        Rule(READ, "/api/v1/quarantine/*", "scan:read", Limit.DASHBOARD),
    ),
)

DOORS: Final = (SCAN,)
