"""The checks of all routes: their requests are valid, and they detect faulty routes."""

from datetime import date
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel, EmailStr, Field

from libs.testing.callers import client_of
from libs.testing.routes import (
    assert_foreign_ids_are_unknown,
    assert_lists_reveal_nothing,
    assert_writes_change_nothing_of_others,
    routes_of,
)

FOREIGN, UNKNOWN = {"box": "box-of-another"}, {"box": "box-of-no-one"}


class Colour(StrEnum):
    RED = "red"


class Part(BaseModel):
    length: Annotated[int, Field(gt=3)]
    name: Annotated[str, Field(min_length=4)]


class Body(BaseModel):
    id: UUID
    day: date
    email: EmailStr
    colour: Colour
    kind: Literal["big"]
    parts: Annotated[list[Part], Field(min_length=2)]
    price: Annotated[float, Field(ge=0.5)]
    sold: bool
    note: str | None
    page: Annotated[int, Field(examples=[7], gt=6)]
    either: Annotated[int, Field(ge=4)] | None
    left_out: Annotated[int, Field(gt=100)] = 5


class Named(BaseModel):
    day: date
    email: EmailStr | None = None
    phoneNumber: str | None = None  # noqa: N815 - as the shop's Mini App spells it


def app(
    *,
    answer: int = 404,
    text: str = "no such box {box}",
    names: str = "",
    only_asked: bool = False,
) -> FastAPI:
    """An API with one route for a box; it answers `text` for the box of another tenant.

    Its list contains `names`; with `only_asked` only if the query asks for them.
    """
    made = FastAPI()

    @made.put("/boxes/{box}")
    async def put(box: str, body: Body, size: Annotated[int, Query(ge=10)]) -> None:
        if answer == 404 or box != FOREIGN["box"]:
            words = text if box == FOREIGN["box"] else "no such box {box}"
            raise HTTPException(404, words.format(box=box))

    @made.get("/boxes")
    async def boxes(size: Annotated[int, Query(ge=10)], of: str | None = None) -> list[str]:
        return ["mine", names if of or not only_asked else ""]

    return made


def shared(*, status: int = 201) -> FastAPI:
    """An API whose data is shared by all callers."""
    made = FastAPI()
    notes: list[str] = []

    @made.post("/notes")
    async def post(part: Part) -> None:
        notes.append(part.name)
        raise HTTPException(status)

    @made.get("/notes")
    async def get() -> list[str]:
        return notes

    return made


async def walk(made: FastAPI, **changed: Any) -> list[tuple[str, str]]:
    given: dict[str, Any] = {"foreign": FOREIGN, "unknown": UNKNOWN} | changed
    async with client_of(made) as stranger:
        return await assert_foreign_ids_are_unknown(stranger, made.openapi(), **given)


async def test_routes_that_treat_foreign_ids_as_unknown_pass() -> None:
    assert await walk(app()) == [("PUT", "/boxes/{box}")]
    assert await walk(app(answer=200), except_for=[("PUT", "/boxes/{box}")]) == []
    with pytest.raises(KeyError, match="box"):  # a new kind of id cannot be forgotten
        await walk(app(), foreign={}, unknown={})


@pytest.mark.parametrize(
    "wrong",
    [app(answer=200), app(text="box {box} is not yours"), app(text="no such box")],
    ids=["it answers 200", "it says 404 in other words", "it leaves the id out"],
)
async def test_a_route_that_reveals_a_foreign_id_fails(wrong: FastAPI) -> None:
    with pytest.raises(AssertionError, match=r"PUT /boxes/\{box\}"):
        await walk(wrong)


async def test_a_list_with_data_of_another_tenant_fails() -> None:
    async with client_of(made := app(names="Анна")) as stranger:
        lists = partial(assert_lists_reveal_nothing, stranger, made.openapi())
        assert await lists(["Борис"]) == [("GET", "/boxes")]
        with pytest.raises(AssertionError, match="/boxes"):
            await lists(["Анна"])


async def test_a_list_is_called_with_every_option() -> None:
    async with client_of(made := app(names="Анна", only_asked=True)) as stranger:
        with pytest.raises(AssertionError, match="/boxes"):
            await assert_lists_reveal_nothing(stranger, made.openapi(), ["Анна"])


async def test_a_write_that_changes_the_view_of_an_owner_fails() -> None:
    walk = assert_writes_change_nothing_of_others
    async with client_of(made := app()) as stranger, client_of(made) as owner:
        assert await walk(stranger, made.openapi(), [owner]) == []
    async with client_of(made := shared()) as stranger, client_of(made) as owner:
        with pytest.raises(AssertionError, match="/notes"):
            await walk(stranger, made.openapi(), [owner])
    # A write that nothing is learned from fails, too.
    async with client_of(made := shared(status=422)) as stranger:
        with pytest.raises(AssertionError, match="POST /notes: 422"):
            await walk(stranger, made.openapi(), [])


async def test_a_body_with_contact_data_is_sent_once_per_person() -> None:
    made, named = FastAPI(), []

    @made.post("/people")
    async def post(who: Named) -> None:
        named.append(who.email or who.phoneNumber)

    people = [{"phone": "+77010000001"}, {"email": "anna@x.example"}, {"username": "anna"}]
    async with client_of(made) as stranger:
        await assert_writes_change_nothing_of_others(stranger, made.openapi(), [], people=people)

    assert named == ["+77010000001", "anna@x.example"]


async def test_a_sample_is_valid_for_its_schema() -> None:
    made = app(answer=200)
    (route,) = (one for one in routes_of(made.openapi()) if one.names)

    async with client_of(made) as client:
        for body, status in ((route.body(), 200), ({}, 422)):
            answer = await client.put(f"/boxes/{FOREIGN['box']}", json=body, params=route.query())
            assert answer.status_code == status, answer.text
