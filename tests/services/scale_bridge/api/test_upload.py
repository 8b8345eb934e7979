"""Uploads: what is sent, what is read back, who is blamed, and what the flag says (R4, R8, R15)."""

import asyncio

from services.scale_bridge.adapters.simulator.server import Simulator
from services.scale_bridge.adapters.wire import Step
from tests.services.scale_bridge.at_hand import a_scale, until
from tests.services.scale_bridge.inside import (
    dirty,
    edited,
    ended,
    fetched,
    patch,
    registered,
    working,
)


async def test_nothing_to_send_is_409_and_no_scale_is_asked(database: str) -> None:
    """(R16)"""
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        answer = await anna.post(f"/devices/{number}/upload")

        assert (answer.status_code, answer.json()["code"]) == (409, "NothingCached")
        assert scale.transcript.count == 0


async def test_no_answer_tells_where_a_scale_is(database: str) -> None:
    """(R16)"""
    async with a_scale(3, "off") as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        answer = await anna.get(f"/devices/{number}/products")

        assert answer.status_code == 503
        assert scale.host not in answer.text
        assert str(scale.port) not in answer.text


async def test_the_product_a_scale_refuses_is_found_without_emptying_it(database: str) -> None:
    """(R15)"""
    async with (
        a_scale(16) as scale,
        working(database, diagnose=True) as made,
        made.client() as anna,
    ):
        number = await registered(anna, scale)
        await fetched(anna, number)
        for plu in range(1, 17):
            await patch(anna, number, plu, price=500.0 + plu)
        scale.faults.set(["badproduct:11:no such barcode"])
        answer = await anna.post(f"/devices/{number}/upload")

        assert answer.status_code == 503
        assert "PLU 11" in answer.json()["detail"]
        assert "no such barcode" in answer.json()["detail"]
        assert len(scale.base.products) == 16
        uploads = [step for step in scale.transcript.steps() if step == Step.ANNOUNCE]
        assert len(uploads) <= 1 + 2 * 5


async def test_a_wrong_password_blames_no_product(database: str) -> None:
    """(R15)"""
    async with (
        a_scale(8) as scale,
        working(database, diagnose=True) as made,
        made.client() as anna,
    ):
        number = await edited(anna, scale)
        scale.faults.set(["pw"])
        answer = await anna.post(f"/devices/{number}/upload")

        assert "PLU" not in answer.json()["detail"]
        uploads = [step for step in scale.transcript.steps() if step == Step.ANNOUNCE]
        assert len(uploads) == 1


async def test_an_edit_during_a_transfer_leaves_the_flag_dirty(database: str) -> None:
    """(R8)"""
    async with a_scale(4) as scale, working(database) as made, made.client() as anna:
        number = await edited(anna, scale)
        scale.faults.set(["slow:0.3"])
        uploading = asyncio.create_task(anna.post(f"/devices/{number}/upload"))
        await until(lambda: Step.ANNOUNCE in list(scale.transcript.steps()))
        assert (await patch(anna, number, 3, price=33.0)).status_code == 200
        answer = await uploading

        assert answer.status_code == 200
        assert scale.base.products[1]["price"] == 99.5
        assert await dirty(anna, number) is True
        scale.faults.set([])
        assert (await anna.post(f"/devices/{number}/upload")).status_code == 200
        assert scale.base.products[2]["price"] == 33.0
        assert await dirty(anna, number) is False


async def test_only_what_differs_is_sent_unless_all_is_ordered(database: str) -> None:
    """(SCL-7)"""
    async with a_scale(300) as scale, working(database) as made, made.client() as anna:
        number = await edited(anna, scale)
        await anna.post(f"/devices/{number}/upload")
        some = sent_bytes(scale)
        await anna.post(f"/devices/{number}/upload")
        none = sent_bytes(scale) - some
        ordered = await anna.post(
            f"/devices/{number}/operations", json={"kind": "upload", "full": True}
        )
        await ended(anna, ordered)
        everything = sent_bytes(scale) - some - none

        assert 0 < some < 3000
        assert none == 0
        assert everything > 50_000
        assert await dirty(anna, number) is False


def sent_bytes(scale: Simulator) -> int:
    frames = scale.transcript.frames
    return sum(one.size for one in frames if one.direction == "in" and one.step == Step.SEND)


async def test_what_the_scale_gained_or_lost_by_itself_is_put_right(database: str) -> None:
    """(R26)"""
    async with a_scale(5) as scale, working(database) as made, made.client() as anna:
        number = await edited(anna, scale)
        assert (await anna.post(f"/devices/{number}/upload")).status_code == 200
        # As if the power had failed: it is as it was before.
        before = {**scale.base.document, "products": scale.base.products[:1]}
        scale.base.keep(before)
        verified = await anna.post(f"/devices/{number}/verify")
        assert (verified.status_code, verified.json()["code"]) == (503, "NotShown")
        assert await dirty(anna, number) is True

        assert (await anna.post(f"/devices/{number}/upload")).status_code == 200
        assert len(scale.base.products) == 5
        assert await dirty(anna, number) is False
        assert (await anna.post(f"/devices/{number}/verify")).json()["outcome"] == "verified"


async def test_what_is_unknown_is_resolved_by_a_later_check(database: str) -> None:
    """(R4)"""
    async with a_scale(4) as scale, working(database) as made, made.client() as anna:
        number = await edited(anna, scale)
        scale.faults.set(["rst:13/09", "rst:14"])
        unknown = await anna.post(f"/devices/{number}/upload")
        assert unknown.json()["code"] == "UnknownOutcome"
        assert await dirty(anna, number) is True
        scale.faults.set([])

        assert (await anna.post(f"/devices/{number}/verify")).status_code == 200
        assert await dirty(anna, number) is False
