"""What could not be understood, for those who mend it."""

from httpx import AsyncClient

from tests.services.ingest.told import Projector


async def test_quarantined_events_are_listed_word_for_word(
    device: AsyncClient, viewer: AsyncClient, projector: Projector
) -> None:
    await device.post("/api/v1/events/batch", json={"events": [{"uuid": "x", "code": "\0"}]})
    await projector.catch_up()

    found = (await viewer.get("/api/v1/quarantine")).json()

    (kept,) = found["events"]
    assert found["total"] == 1
    assert (kept["uuid"], kept["code"]) == (None, "bad_uuid")
    assert kept["raw"] == '{"uuid": "x", "code": "\\u0000"}'
