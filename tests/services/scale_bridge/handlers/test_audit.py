"""Who had what done to which scale, and what came of it: in the log, and on every line (R24)."""

import structlog
from structlog.contextvars import merge_contextvars

from contracts.scale_bridge import OperationEnded, OperationQueued, OperationSending
from services.scale_bridge.domain.catalogue import digest, written
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import ANNA, edited, fetched, registered, working


async def test_an_operation_says_who_what_when_and_how_it_ended(database: str) -> None:
    """(R24)"""
    async with a_scale(4) as scale, working(database) as made, made.client() as anna:
        number = await edited(anna, scale)
        assert (await anna.post(f"/devices/{number}/upload")).status_code == 200
        cached = (await anna.get(f"/devices/{number}/products/cached")).json()["products"]
        scale.faults.set(["rc:14:C4"])
        assert (await anna.get(f"/devices/{number}/products")).status_code == 503
        queued = await made.events(OperationQueued)
        began = await made.events(OperationSending)
        _, sent, refused = await made.events(OperationEnded)
        listed = (await anna.get(f"/devices/{number}/operations")).json()

    assert [one.kind for one in queued] == ["fetch", "upload", "fetch"]
    assert {one.asked_by for one in queued} == {str(ANNA)}
    assert all(one.holder for one in began)
    assert (sent.kind, sent.outcome, sent.revision, sent.items) == ("upload", "verified", 2, 4)
    assert sent.content == digest(written(cached))
    assert queued[1].queued_at <= sent.ended_at
    assert (refused.outcome, refused.code, refused.result) == ("failed", "ScaleRefused", 0xC4)
    assert [one["id"] for one in listed] == [str(one.operation_id) for one in reversed(queued)]
    assert {one["asked_by"] for one in listed} == {str(ANNA)}


async def test_every_line_about_an_operation_names_it_and_none_a_password(database: str) -> None:
    """(R18)"""
    secret = "q7Zx"
    async with a_scale(3, "rst:12/03*1", password=secret) as scale, working(database) as made:
        with structlog.testing.capture_logs(processors=[merge_contextvars]) as said:
            async with made.client() as anna:
                number = await registered(anna, scale, password=secret)
                await fetched(anna, number)
        [ended] = await made.ends()

    lines = [line for line in said if line["event"].startswith(("scale ", "operation"))]
    assert [line["event"] for line in lines] == [
        "scale failed",
        "scale answered",
        "operation ended",
    ]
    assert {line["operation_id"] for line in lines} == {str(ended.operation_id)}
    assert secret not in repr(said)
