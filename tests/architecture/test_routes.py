"""The routes that the gateway publishes are those that the services declare.

Context: a route written down twice, in its service and at the gateway, differs some day. Decision:
a route says at its own place which scope it requires and how it is counted;
`contracts/routes/<service>.json` is generated from that (`make routes`), and the gateway reads it.
Consequence: a new route is one edit and one generated line, which a review sees.
"""

import importlib
from typing import Any

import pytest

from libs.http.manifest import encoded, manifest
from services.gateway.doors.domain.door import Limit
from services.gateway.doors.domain.doors import DOORS
from tests.architecture.source import ROOT

FILES = sorted((ROOT / "contracts" / "routes").glob("*.json"))


def routers(service: str) -> Any:
    return importlib.import_module(f"services.{service}.bootstrap").SERVICE.routers


@pytest.mark.parametrize("service", [file.stem for file in FILES])
def test_the_published_routes_are_the_declared_ones(service: str) -> None:
    file = ROOT / "contracts" / "routes" / f"{service}.json"

    assert file.read_text() == encoded(manifest(routers(service))), "run `make routes`"


def test_every_service_but_the_gateway_publishes_its_routes() -> None:
    services = {file.parent.name for file in (ROOT / "services").glob("*/bootstrap.py")}

    assert {file.stem for file in FILES} == services - {"gateway"}


def test_every_service_that_publishes_routes_is_behind_a_door() -> None:
    assert {file.stem for file in FILES} == {door.service for door in DOORS if door.rules}


@pytest.mark.parametrize("service", [file.stem for file in FILES])
def test_every_rate_class_of_a_route_is_one_of_the_gateways(service: str) -> None:
    assert {route.limit for route in manifest(routers(service))} <= {*Limit}
