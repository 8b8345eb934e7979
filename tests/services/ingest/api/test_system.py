"""What anybody may ask."""

from fastapi import FastAPI
from httpx import AsyncClient

from libs.http.undeclared import undeclared_routes
from libs.postgres.pool import Pool
from tests.services.ingest.told import Projector


async def test_the_house_says_its_name(nobody: AsyncClient) -> None:
    answer = await nobody.get("/?ping=1")

    assert answer.json() == {
        "name": "Scanner Logger API",
        "version": "1.0.0",
        "docs": "/docs",
        "redoc": "/redoc",
        "health": "/health",
        "metrics": "/metrics",
    }


async def test_ping_is_answered(nobody: AsyncClient) -> None:
    assert (await nobody.get("/ping")).json() == {"ok": True, "message": "pong"}


async def test_health_is_that_of_the_database(nobody: AsyncClient, reading_pool: Pool) -> None:
    well = await nobody.get("/health")
    await reading_pool.close()
    ill = await nobody.get("/health")

    assert (well.status_code, well.json()) == (
        200,
        {"status": "healthy", "version": "1.0.0", "database": "connected"},
    )
    assert (ill.status_code, ill.json()) == (
        503,
        {"status": "unhealthy", "version": "1.0.0", "database": "disconnected"},
    )


async def test_readiness_and_metrics_are_there_too(nobody: AsyncClient) -> None:
    assert (await nobody.get("/ready")).json()["status"] == "ready"
    assert "ingest_scans_accepted_total" in (await nobody.get("/metrics/")).text


async def test_unknown_paths_and_methods_are_told_in_the_original_shape(
    nobody: AsyncClient,
) -> None:
    missing = await nobody.get("/api/v1/nothing")
    wrong = await nobody.put("/api/v1/events/batch")

    assert (missing.status_code, missing.json()) == (404, {"detail": "Not Found"})
    assert (wrong.status_code, wrong.json()) == (405, {"detail": "Method Not Allowed"})


def test_every_route_says_who_may_pass(app: FastAPI) -> None:
    assert undeclared_routes(app) == []


async def test_metrics_count_what_waits_in_quarantine(
    device: AsyncClient, mender: AsyncClient, nobody: AsyncClient, projector: Projector
) -> None:
    await device.post(
        "/api/v1/events/batch", json={"events": [{"uuid": "x"}, {"uuid": "y"}, {"ts": "noon"}]}
    )
    await projector.catch_up()
    before = (await nobody.get("/metrics")).text
    for kept in (await mender.get("/api/v1/quarantine")).json()["events"]:
        await mender.post(f"/api/v1/quarantine/{kept['id']}/drop", json={"reason": "a test"})
    await projector.catch_up()
    after = (await nobody.get("/metrics")).text

    assert 'ingest_quarantine_open{code="bad_uuid"} 2.0' in before
    assert 'ingest_quarantine_open{code="bad_ts"} 1.0' in before
    assert 'ingest_quarantine_open{code="bad_uuid"} 0.0' in after
    assert 'ingest_quarantine_open{code="bad_ts"} 0.0' in after


async def test_metrics_are_told_while_the_database_is_away(nobody: AsyncClient, pool: Pool) -> None:
    await pool.close()

    answer = await nobody.get("/metrics")

    assert answer.status_code == 200
    assert "ingest_scans_accepted_total" in answer.text
