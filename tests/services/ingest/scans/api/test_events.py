"""The requests of devices and their responses."""

import pytest

from contracts.ingest import EVENTS
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.postgres import PostgresLog
from services.ingest.scans.api.path_normalizer import tidy
from tests.services.ingest.history import Store, event, uuid
from tests.services.ingest.service import BATCH, VERIFY, Service

V4 = "c6414b06-5a3c-4c0e-9e0f-2b1d3f4a5b6c"


async def test_a_batch_gets_the_expected_response_and_is_skipped_when_sent_again(
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
async def test_old_spellings_of_a_path_are_accepted(ingest: Service, path: str) -> None:
    answer = await ingest.device.post(f"http://service{path}", json={"events": [event()]})

    assert answer.json()["inserted"] == 1


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [
        ("/", "/"),
        ("", "/"),
        ("//", "/"),
        ("/api/v1/events/batch", "/api/v1/events/batch"),
        ("//api//v1/events/batch", "/api/v1/events/batch"),
        ("/api/v1/api/v1/events/batch", "/api/v1/events/batch"),
        ("/api/v1//api/v1/api/v1/dashboard/state//", "/api/v1/dashboard/state/"),
        ("/api/v1/api/v10", "/api/v1/api/v10"),
        ("/x/api/v1/api/v1/y", "/x/api/v1/api/v1/y"),
    ],
)
def test_repeated_slashes_and_prefixes_are_removed(spelled: str, meant: str) -> None:
    assert tidy(spelled) == meant


async def test_without_the_log_nothing_is_acknowledged(ingest: Service) -> None:
    await ingest.pool.close()
    ingest.change(store=Store(PostgresLog(ingest.pool), Codec(EVENTS)))

    sent = await ingest.device.post(BATCH, json={"events": [event()]})
    verified = await ingest.device.post(VERIFY, json={"uuids": [V4]})

    assert (sent.status_code, verified.status_code) == (503, 503)
    assert sent.headers["retry-after"]
    assert set(sent.json()) == {"detail"}


async def test_a_stored_batch_has_its_tenant_and_device(ingest: Service) -> None:
    headers = {"x-request-id": "r-0123456789"}
    await ingest.device.post(BATCH, json={"events": [event()]}, headers=headers)

    (recorded,) = [one async for page in ingest.store.log.read_all() for one in page]
    assert (recorded.metadata.tenant, recorded.metadata.actor) == ("demo", "device-1")
    assert recorded.metadata.correlation_id == "r-0123456789"


async def test_verify_returns_stored_uuids_in_their_spelling(ingest: Service) -> None:
    await ingest.send(event(uuid=V4), event(2, operator=None))
    spelled = [V4.upper(), uuid(2).replace("-", "")]
    uuids = [*spelled, "uuid1", "", uuid(3), V4.upper()]

    answer = await ingest.device.post(VERIFY, json={"uuids": uuids})

    assert answer.json() == {"ok": True, "present": spelled}
