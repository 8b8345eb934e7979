"""Texts of labels from the editor to the scale and back (SCL-13, R8, R9)."""

import asyncio

from contracts.scale_bridge import MessageEdited
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import (
    dirty,
    fetched,
    inside,
    patch,
    registered,
    working,
)
from tests.services.scale_bridge.texts import a_base, label, put, texts


async def test_an_edited_text_comes_to_the_scale_and_is_verified_there(database: str) -> None:
    base = a_base()
    async with a_scale(base=base) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        before = await fetched(anna, number)
        changed = await put(anna, number, 1, "Состав: рожь")
        assert changed.json() == {
            "id": 1,
            "value": "Состав: рожь",
            "deleted": False,
            "plus": ["1"],
        }
        assert await dirty(anna, number) is True
        assert texts(base)[1] == "Состав 1"

        assert (await anna.post(f"/devices/{number}/upload")).status_code == 200

        assert await dirty(anna, number) is False
        assert (await made.ends())[-1].outcome == "verified"
        entry = {**before["messages"][0], "value": "Состав: рожь"}
        assert base.document == {**before, "messages": [entry, *before["messages"][1:]]}
        assert await fetched(anna, number) == base.document
        assert len(await made.events(MessageEdited)) == 1


async def test_a_new_text_is_put_on_a_product_and_sent_with_it(database: str) -> None:
    base = a_base()
    async with a_scale(base=base) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        assert (await patch(anna, number, 2, message=9)).status_code == 422
        assert (await put(anna, number, 9, "Состав: мёд")).status_code == 200
        assert (await patch(anna, number, 2, message=9)).status_code == 200
        assert (await patch(anna, number, 1, message=None)).status_code == 200
        assert (await anna.post(f"/devices/{number}/upload")).status_code == 200

        assert texts(base)[9] == "Состав: мёд"
        assert [one.get("message") for one in base.products[:2]] == [None, 9]
        said = await label(anna, number)
        assert [one["plus"] for one in said["messages"]] == [[], [], [], ["2"]]
        assert await dirty(anna, number) is False


async def test_a_dropped_text_is_forgotten_by_the_scale(database: str) -> None:
    base = a_base()
    async with a_scale(base=base) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        path = f"/devices/{number}/messages"
        used = await anna.delete(f"{path}/1")
        assert (used.status_code, used.json()["code"]) == (409, "MessageInUse")
        absent = await anna.delete(f"{path}/77")
        assert (absent.status_code, absent.json()["code"]) == (404, "MessageUnknown")
        for _ in range(2):
            assert (await anna.delete(f"{path}/2")).status_code == 204
        assert (await patch(anna, number, 3, message=2)).status_code == 422
        said = (await label(anna, number))["messages"]
        assert [one["deleted"] for one in said] == [False, True, False]

        assert (await anna.post(f"/devices/{number}/upload")).status_code == 200

        assert sorted(texts(base)) == [1, 3]
        assert await dirty(anna, number) is False
        assert (await anna.post(f"/devices/{number}/verify")).json()["outcome"] == "verified"


async def test_everything_labels_refer_to_is_shown_typed(database: str) -> None:
    odd = [{"id": "101", "width": 58, "height": 40.5}, {"name": "no id"}, 7]
    base = a_base(2, 1, labelTemplates=odd, categories=[{"idCategory": 3, "name": "Хлеб"}])
    async with a_scale(base=base) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        assert await label(anna, number) == {
            "revision": 0,
            "messages": [],
            "categories": [],
            "templates": [],
        }
        early = await put(anna, number, 1, "x")
        assert (early.status_code, early.json()["code"]) == (409, "NothingCached")
        await fetched(anna, number)

        assert await label(anna, number) == {
            "revision": 1,
            "messages": [{"id": 1, "value": "Состав 1", "deleted": False, "plus": ["1"]}],
            "categories": [{"id": 3, "name": "Хлеб", "number": None}],
            "templates": [
                {"id": 101, "name": None, "width": 58.0, "height": 40.5, "deleted": False}
            ],
        }
        assert (await patch(anna, number, 1, category=4)).status_code == 422
        good = await patch(anna, number, 1, category=3, labelTemplate=101)
        assert good.json()["products"]["products"][0]["labelTemplate"] == "101"


async def test_a_text_that_cannot_be_is_422_and_nothing_is_stored(database: str) -> None:
    async with a_scale(base=a_base()) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)

        for value in ("", "x" * 4001, "a\0b", "\ud800"):
            answer = await anna.put(
                f"/devices/{number}/messages/1",
                content=b'{"value": "%s"}' % value.encode("unicode_escape"),
                headers={"Content-Type": "application/json"},
            )
            assert answer.status_code == 422, value[:10]
        for path in ("0", "x", str(2**31)):
            answer = await anna.put(f"/devices/{number}/messages/{path}", json={"value": "x"})
            assert answer.status_code == 422, path
        assert await dirty(anna, number) is False
        assert not await made.events(MessageEdited)


async def test_edits_of_texts_and_products_at_once_all_survive(database: str) -> None:
    """(R9)"""
    base = a_base(20, 20)
    async with a_scale(base=base) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        answers = await asyncio.gather(
            *(put(anna, number, one, f"Новый {one}") for one in range(1, 21)),
            *(patch(anna, number, one, price=float(one)) for one in range(1, 21)),
        )

        assert {answer.status_code for answer in answers} == {200}
        said = (await anna.get(f"/devices/{number}/products/cached")).json()["products"]
        assert [one["value"] for one in said["messages"]] == [f"Новый {n}" for n in range(1, 21)]
        assert [one["price"] for one in said["products"]] == [float(n) for n in range(1, 21)]
        assert (await label(anna, number))["revision"] == 41


async def test_texts_have_revisions_that_can_be_compared_and_brought_back(database: str) -> None:
    """(R7)"""
    base = a_base(3, 2)
    async with a_scale(base=base) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        await put(anna, number, 1, "Один")
        await put(anna, number, 5, "Пять")
        assert (await anna.post(f"/devices/{number}/upload")).status_code == 200
        await anna.delete(f"/devices/{number}/messages/2")
        path = f"/devices/{number}/revisions"
        told = (await anna.get(path)).json()
        diff = (await anna.get(f"{path}/diff?from=1")).json()

        assert [(one["kind"], one["message"]) for one in told] == [
            ("text deleted", "2"),
            ("text edited", "5"),
            ("text edited", "1"),
            ("fetched", None),
        ]
        assert told[2]["before"]["value"] == "Состав 1"
        assert {key: one["after"]["value"] for key, one in diff["beside"]["messages"].items()} == {
            "1": "Один",
            "2": "Состав 2",
            "5": "Пять",
        }

        assert (await anna.post(f"{path}/1/revert")).status_code == 200
        assert (await anna.post(f"/devices/{number}/upload")).status_code == 200
        assert texts(base) == {1: "Состав 1", 2: "Состав 2"}
        assert await dirty(anna, number) is False


async def test_who_may_only_read_changes_no_text(database: str) -> None:
    async with (
        a_scale(base=a_base()) as scale,
        inside(database) as made,
        made.client() as anna,
        made.client(scopes=["scales:read"]) as reader,
        made.nobody() as nobody,
    ):
        number = await registered(anna, scale)

        assert (await put(reader, number, 1, "x")).status_code == 403
        assert (await reader.delete(f"/devices/{number}/messages/1")).status_code == 403
        assert (await reader.get(f"/devices/{number}/label")).status_code == 200
        assert (await nobody.get(f"/devices/{number}/label")).status_code == 401
