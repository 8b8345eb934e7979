"""Texts of labels from the editor to the scale and back (SCL-13, R4, R7, R8, R9)."""

from typing import Any

from httpx import Response

from contracts.scale_bridge import MessageEdited
from services.scale_bridge.driver.simulator.adapters.products import ProductBase
from services.scale_bridge.driver.simulator.domain.goods import catalogue
from tests.services.scale_bridge.service import Device, open_device


def a_base(items: int = 4, texts: int = 3, **more: Any) -> ProductBase:
    """A product base: products, the first with a text, and lists unknown to the service."""
    document = catalogue(items)
    document["products"][0]["message"] = 1
    document["messages"] = [
        {"id": number, "value": f"Состав {number}", "deleted": False, "font": number}
        for number in range(1, texts + 1)
    ]
    return ProductBase({**document, "serviceLists": [{"x": {"y": [1]}}], **more})


async def set_text(device: Device, message: int, value: str) -> Response:
    """Edit a text."""
    return await device.put(f"/messages/{message}", value=value)


def texts(base: ProductBase) -> dict[int, str]:
    """The texts on the scale, by id."""
    return {one["id"]: one["value"] for one in base.document["messages"]}


async def test_an_edited_text_is_sent_to_the_scale_and_verified(database: str) -> None:
    base = a_base()
    async with open_device(database, base=base) as device:
        before = await device.cached()
        changed = await set_text(device, 1, "Состав: рожь")
        entry = {"id": 1, "value": "Состав: рожь", "deleted": False, "plus": ["1"]}
        assert changed.json() == entry
        assert await device.is_listed_dirty() is True
        assert texts(base)[1] == "Состав 1"

        await device.upload()

        assert await device.is_listed_dirty() is False
        assert (await device.service.ends())[-1].outcome == "verified"
        stored = {**before["messages"][0], "value": "Состав: рожь"}
        assert base.document == {**before, "messages": [stored, *before["messages"][1:]]}
        assert await device.fetch() == base.document
        assert len(await device.service.events(MessageEdited)) == 1


async def test_a_deleted_text_is_deleted_on_the_scale(database: str) -> None:
    base = a_base()
    async with open_device(database, base=base) as device:
        for message, status, code in (("1", 409, "MessageInUse"), ("77", 404, "MessageUnknown")):
            refused = await device.delete(f"/messages/{message}")
            assert (refused.status_code, refused.json()["code"]) == (status, code)
        for _ in range(2):
            assert (await device.delete("/messages/2")).status_code == 204
        assert (await device.patch(3, message=2)).status_code == 422
        label = await device.read("/label")
        assert [one["deleted"] for one in label["messages"]] == [False, True, False]

        await device.upload()

        assert sorted(texts(base)) == [1, 3]
        assert await device.is_listed_dirty() is False
        assert (await device.post("/verify")).json()["outcome"] == "verified"


async def test_the_lists_that_labels_refer_to_are_returned_with_types(database: str) -> None:
    odd = [{"id": "101", "width": 58, "height": 40.5}, {"name": "no id"}, 7]
    base = a_base(2, 1, labelTemplates=odd, categories=[{"idCategory": 3, "name": "Хлеб"}])
    async with open_device(database, base=base, read=False) as device:
        empty = {"revision": 0, "messages": [], "categories": [], "templates": []}
        assert await device.read("/label") == empty
        early = await set_text(device, 1, "x")
        assert (early.status_code, early.json()["code"]) == (409, "NothingCached")
        await device.fetch()

        template = {"id": 101, "name": None, "width": 58.0, "height": 40.5, "deleted": False}
        assert await device.read("/label") == {
            "revision": 1,
            "messages": [{"id": 1, "value": "Состав 1", "deleted": False, "plus": ["1"]}],
            "categories": [{"id": 3, "name": "Хлеб", "number": None}],
            "templates": [template],
        }
        assert (await device.patch(1, category=4)).status_code == 422
        good = await device.patch(1, category=3, labelTemplate=101)
        assert good.json()["products"]["products"][0]["labelTemplate"] == "101"


async def test_texts_have_revisions_that_can_be_compared_and_restored(database: str) -> None:
    base = a_base(3, 2)
    async with open_device(database, base=base) as device:
        await set_text(device, 1, "Один")
        await set_text(device, 5, "Пять")
        await device.upload()
        await device.delete("/messages/2")
        revisions = await device.read("/revisions")
        beside = (await device.read("/revisions/diff?from=1"))["beside"]["messages"]

        assert [(one["kind"], one["message"]) for one in revisions] == [
            ("text deleted", "2"),
            ("text edited", "5"),
            ("text edited", "1"),
            ("fetched", None),
        ]
        assert revisions[2]["before"]["value"] == "Состав 1"
        after = {key: one["after"]["value"] for key, one in beside.items()}
        assert after == {"1": "Один", "2": "Состав 2", "5": "Пять"}

        assert (await device.post("/revisions/1/revert")).status_code == 200
        await device.upload()
        assert texts(base) == {1: "Состав 1", 2: "Состав 2"}
        assert await device.is_listed_dirty() is False


async def test_a_text_that_the_scale_did_not_store_fails_the_upload(database: str) -> None:
    async with open_device(database, base=a_base()) as device:
        await set_text(device, 1, "Рожь")
        device.scale.faults.set(["lie"])
        answer = await device.post("/upload")
        assert (answer.status_code, answer.json()["code"]) == (503, "NotShown")
        assert await device.is_listed_dirty() is True

        device.scale.faults.set([])
        await device.upload()
        assert texts(device.scale.base)[1] == "Рожь"
        assert await device.is_listed_dirty() is False


async def test_a_text_that_was_lost_on_the_scale_is_sent_again(database: str) -> None:
    """Some scales keep only the texts of the last upload."""
    base = a_base()
    async with open_device(database, base=base) as device:
        base.replace_document({**base.document, "messages": []})
        assert (await device.post("/verify")).json()["code"] == "NotShown"
        assert await device.is_listed_dirty() is True
        base.replace_document({**base.document, "messages": [{"id": 3, "value": "чужой"}]})
        await device.set_price(2, 5.5)

        await device.upload()
        assert texts(base) == {1: "Состав 1", 2: "Состав 2", 3: "Состав 3"}
        assert await device.is_listed_dirty() is False
