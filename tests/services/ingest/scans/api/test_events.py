"""What devices send, and what they are answered."""

import pytest

from contracts.ingest import EVENTS
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.postgres import PostgresLog
from services.ingest.scans.api.path_normalizer import tidy
from tests.services.ingest.history import Store, event, uuid
from tests.services.ingest.service import BATCH, VERIFY, Service

V4 = "c6414b06-5a3c-4c0e-9e0f-2b1d3f4a5b6c"


async def test_a_batch_is_answered_as_devices_expect_and_skipped_when_sent_again(
    ingest: Service,
) -> None:
    body = {"events": [event(uuid=V4.upper())]}

    first = await ingest.device.post(BATCH, json=body)
    again = await ingest.device.post(BATCH, json=body)

    assert first.status_code == again.status_code == 200
    assert first.headers["content-type"] == "application/json"
    assert first.headers["x-consistency-token"] == again.headers["x-consistency-token"]
    expected = {"ok": True, "inserted": 1, "skipped": 0, "duplicates": [], "errors": []}
    assert first.json() == expected
    assert again.json() == expected | {"inserted": 0, "skipped": 1, "duplicates": [V4]}


@pytest.mark.parametrize(
    "path", ["/api/v1/api/v1/events/batch", "//api/v1/events/batch", BATCH + "/"]
)
async def test_old_spellings_of_the_path_are_understood(ingest: Service, path: str) -> None:
    answer = await ingest.device.post(f"http://service{path}", json={"events": [event()]})

    assert answer.json()["inserted"] == 1


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [
        ("/", "/"),
        ("", "/"),
        ("//", "/"),
        ("/api/v1/events/batch", "/api/v1/events/batch"),
        ("/api/v1/events/batch/", "/api/v1/events/batch"),
        ("//api//v1/events/batch", "/api/v1/events/batch"),
        ("/api/v1/api/v1/events/batch", "/api/v1/events/batch"),
        ("/api/v1//api/v1/api/v1/dashboard/state/", "/api/v1/dashboard/state"),
        ("/api/v1/api/v10", "/api/v1/api/v10"),
        ("/x/api/v1/api/v1/y", "/x/api/v1/api/v1/y"),
    ],
)
def test_slashes_and_prefixes_written_twice_are_tidied(spelled: str, meant: str) -> None:
    assert tidy(spelled) == meant


async def test_while_the_log_is_away_nothing_is_acknowledged(ingest: Service) -> None:
    await ingest.pool.close()
    ingest.change(store=Store(PostgresLog(ingest.pool), Codec(EVENTS)))

    sent = await ingest.device.post(BATCH, json={"events": [event()]})
    asked = await ingest.device.post(VERIFY, json={"uuids": [V4]})

    assert (sent.status_code, asked.status_code) == (503, 503)
    assert sent.headers["retry-after"]
    assert set(sent.json()) == {"detail"}


async def test_a_batch_is_stored_in_the_name_of_its_tenant_and_device(ingest: Service) -> None:
    headers = {"x-request-id": "r-0123456789"}
    await ingest.device.post(BATCH, json={"events": [event()]}, headers=headers)

    (kept,) = [one async for page in ingest.store.log.read_all() for one in page]
    assert (kept.metadata.tenant, kept.metadata.actor) == ("demo", "device-1")
    assert kept.metadata.correlation_id == "r-0123456789"


async def test_verify_echoes_what_is_known_as_it_was_spelled(ingest: Service) -> None:
    await ingest.send(event(uuid=V4), event(2, operator=None))
    spelled = [V4.upper(), uuid(2).replace("-", "")]
    asked = [*spelled, "uuid1", "", uuid(3), V4.upper()]

    answer = await ingest.device.post(VERIFY, json={"uuids": asked})

    assert answer.json() == {"ok": True, "present": spelled}
