"""What is sent of the texts of labels, and what must be read back (R4, R8, SCL-13)."""

from services.scale_bridge.adapters.wire import Step
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import dirty, fetched, patch, registered, working
from tests.services.scale_bridge.texts import a_base, put, texts


async def test_only_the_text_is_sent_that_was_changed(database: str) -> None:
    async with (
        a_scale(base=a_base(300, 300)) as scale,
        working(database) as made,
        made.client() as anna,
    ):
        number = await registered(anna, scale)
        await fetched(anna, number)
        await put(anna, number, 7, "Соль")
        assert (await anna.post(f"/devices/{number}/upload")).status_code == 200

        frames = scale.transcript.frames
        sent = sum(one.size for one in frames if one.direction == "in" and one.step == Step.SEND)
        assert 0 < sent < 1000
        assert texts(scale.base) | {7: "Состав 7"} == texts(a_base(300, 300))
        assert texts(scale.base)[7] == "Соль"


async def test_a_text_that_the_scale_did_not_take_is_noticed(database: str) -> None:
    """(R8)"""
    async with a_scale(base=a_base()) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        await put(anna, number, 1, "Рожь")
        scale.faults.set(["lie"])
        answer = await anna.post(f"/devices/{number}/upload")
        assert (answer.status_code, answer.json()["code"]) == (503, "NotShown")
        assert await dirty(anna, number) is True

        scale.faults.set([])
        assert (await anna.post(f"/devices/{number}/upload")).status_code == 200
        assert texts(scale.base)[1] == "Рожь"
        assert await dirty(anna, number) is False


async def test_a_text_that_was_lost_on_the_scale_comes_back(database: str) -> None:
    """As on a scale that keeps only the texts it was sent last."""
    base = a_base()
    async with a_scale(base=base) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        base.keep({**base.document, "messages": []})
        assert (await anna.post(f"/devices/{number}/verify")).json()["code"] == "NotShown"
        assert await dirty(anna, number) is True
        base.keep({**base.document, "messages": [{"id": 3, "value": "чужой"}]})
        await patch(anna, number, 2, price=5.5)

        assert (await anna.post(f"/devices/{number}/upload")).status_code == 200
        assert texts(base) == {1: "Состав 1", 2: "Состав 2", 3: "Состав 3"}
        assert await dirty(anna, number) is False


async def test_a_scale_that_adds_and_reorders_is_believed(database: str) -> None:
    base = a_base()
    async with a_scale(base=base) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        document = base.document
        base.keep(
            {
                **dict(reversed(document.items())),
                "messages": [{**one, "bytes": 9} for one in document["messages"][::-1]],
                "labelTemplates": [],
                "lotsOfProduct": [{"id": 5}],
                "clock": 12,
            }
        )
        await put(anna, number, 2, "Два")

        assert (await anna.post(f"/devices/{number}/upload")).status_code == 200
        assert texts(base)[2] == "Два"
        assert (base.document["clock"], base.document["serviceLists"]) == (12, [{"x": {"y": [1]}}])
        assert await dirty(anna, number) is False
