"""Public routes: name, health, readiness and metrics."""

from libs.postgres.pool import Pool
from tests.services.ingest.service import BATCH, QUARANTINE, Service


async def test_the_api_returns_its_name_and_answers_a_ping(ingest: Service) -> None:
    assert (await ingest.anonymous.get("/?ping=1")).json() == {
        "name": "Scanner Logger API",
        "version": "1.0.0",
        "docs": "/docs",
        "redoc": "/redoc",
        "health": "/health",
        "metrics": "/metrics",
    }
    assert (await ingest.anonymous.get("/ping")).json() == {"ok": True, "message": "pong"}


async def test_health_is_that_of_the_database(ingest: Service, reading_pool: Pool) -> None:
    well = await ingest.anonymous.get("/health")
    await reading_pool.close()
    ill = await ingest.anonymous.get("/health")

    version = {"version": "1.0.0"}
    assert well.status_code == 200
    assert well.json() == version | {"status": "healthy", "database": "connected"}
    assert ill.status_code == 503
    assert ill.json() == version | {"status": "unhealthy", "database": "disconnected"}


async def test_readiness_and_metrics_are_served(ingest: Service) -> None:
    assert (await ingest.anonymous.get("/ready")).json()["status"] == "ready"
    assert "ingest_scans_accepted_total" in (await ingest.anonymous.get("/metrics/")).text


async def test_unknown_paths_and_methods_are_answered_in_the_original_shape(
    ingest: Service,
) -> None:
    missing = await ingest.anonymous.get("/api/v1/nothing")
    wrong = await ingest.anonymous.put(BATCH)

    assert (missing.status_code, missing.json()) == (404, {"detail": "Not Found"})
    assert (wrong.status_code, wrong.json()) == (405, {"detail": "Method Not Allowed"})


async def test_metrics_count_the_open_quarantined_events(ingest: Service) -> None:
    await ingest.send({"uuid": "x"}, {"uuid": "y"}, {"ts": "noon"})
    await ingest.send({"uuid": "x"}, by=ingest.stranger)
    before = (await ingest.anonymous.get("/metrics")).text
    for one in (await ingest.get(QUARANTINE))["events"]:
        await ingest.mender.post(f"{QUARANTINE}/{one['id']}/drop", json={"reason": "a test"})
    await ingest.read_models.catch_up()
    after = (await ingest.anonymous.get("/metrics")).text

    assert 'ingest_quarantine_open{code="bad_uuid"} 3.0' in before
    assert 'ingest_quarantine_open{code="bad_ts"} 1.0' in before
    assert 'ingest_quarantine_open{code="bad_uuid"} 1.0' in after
    assert 'ingest_quarantine_open{code="bad_ts"} 0.0' in after


async def test_metrics_are_served_without_the_database(ingest: Service) -> None:
    await ingest.pool.close()

    answer = await ingest.anonymous.get("/metrics")

    assert answer.status_code == 200
    assert "ingest_scans_accepted_total" in answer.text
