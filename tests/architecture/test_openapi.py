"""Schemas in the OpenAPI documents have the names of their classes.

Context: of two classes of one name in one document FastAPI names each by the path of its module, so
that moving a file changes what clients generate from the document. Decision: within a document no
two classes share a name. Consequence: files can be moved; a class of a request or an answer is
renamed only when its clients may see that.
"""

import importlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import create_model

from services.gateway.doors.api.local_routes import LocalRoutes
from services.gateway.doors.domain.doors import DOORS
from tests.architecture import rooms
from tests.architecture.source import ROOT

HOME = ROOT / "services"
SERVICES = [home.name for home in rooms.services(HOME)]


def routers(service: str) -> Iterator[APIRouter]:
    """The routers of all modules in the rooms `api` of a service."""
    for file in sorted((HOME / service).rglob("*.py")):
        module = file.relative_to(ROOT).with_suffix("")
        if "api" in module.parts and file.name != "__init__.py":
            content = vars(importlib.import_module(".".join(module.parts)))
            yield from {
                id(one): one for one in content.values() if isinstance(one, APIRouter)
            }.values()


def app_of(of: Iterable[APIRouter]) -> FastAPI:
    app = FastAPI()
    for router in of:
        app.include_router(router, prefix="/included")
    return app


def documents(service: str) -> Mapping[str, dict[str, Any]]:
    """The documents that clients of a service read: one, or at the gateway one per door."""
    app = app_of(routers(service))
    if service != "gateway":
        return {service: app.openapi()}
    local_routes = LocalRoutes(app.routes)
    return {
        door.name: get_openapi(title="", version="1", routes=local_routes.routes_of(door))
        for door in DOORS
    }


def named_by_path(document: Mapping[str, Any]) -> list[str]:
    """The schemas that are named by the path of a module. `Body_…` are named by the route's."""
    schemas = document.get("components", {}).get("schemas", {})
    return [name for name in schemas if "__" in name and not name.startswith("Body_")]


@pytest.mark.filterwarnings("ignore:Duplicate Operation ID")
@pytest.mark.parametrize("service", SERVICES)
def test_no_schema_is_named_by_the_path_of_a_module(service: str) -> None:
    found = documents(service)

    assert all(len(document["components"]["schemas"]) > 2 for document in found.values())
    assert {name: named_by_path(document) for name, document in found.items()} == {
        name: [] for name in found
    }


def test_two_classes_of_one_name_in_a_document_are_noticed() -> None:
    router = APIRouter()
    for kind in ("rye", "wheat"):
        # They differ: of two equal ones FastAPI makes one.
        fields: dict[str, Any] = {kind: (int, ...)}
        loaf = create_model("Loaf", __module__=f"bakery.{kind}", **fields)

        async def bake(body: Any) -> None: ...

        bake.__annotations__["body"] = loaf
        router.post(f"/{kind}")(bake)

    assert named_by_path(app_of([router]).openapi()) == ["bakery__rye__Loaf", "bakery__wheat__Loaf"]
