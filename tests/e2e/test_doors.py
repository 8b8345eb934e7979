"""The doors and the services behind them agree: every rule has its route, its scope, its words."""

import re
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi.routing import iter_route_contexts

from libs.http.auth import Permission
from libs.http.undeclared import required_access
from libs.postgres.doorbell import Doorbell
from libs.process.service import make_app
from libs.telemetry.traces import set_up
from services.gateway.doors.domain.door import WEBSOCKET, Door
from services.gateway.doors.domain.doors import SCALES, SCAN
from services.gateway.proxy.domain import door_document
from services.gateway.settings import Settings as GatewaySettings
from services.ingest import bootstrap as ingest
from services.scale_bridge import bootstrap as scale_bridge
from services.scale_bridge.settings import Settings as ScaleBridgeSettings

OURS = {"/health", "/ready", "/metrics", "/internal/openapi.json"}


def app_of(service: Any) -> Any:
    """A service's app; nothing behind its routes is needed for what it says of itself."""
    settings = SimpleNamespace(
        max_body_bytes=1,
        body_seconds=1.0,
        body_bytes_per_second=1.0,
        max_streams=1,
        stream_poll_seconds=1.0,
        stream_idle_seconds=1.0,
        max_bridges=1,
        debug=False,
    )
    name = service.SERVICE.name
    deps = SimpleNamespace(
        settings=settings,
        telemetry=set_up(name),
        reading=None,
        consistency=SimpleNamespace(positions=None),
        revocations=SimpleNamespace(check=None),
        doorbell=Doorbell("postgresql://nowhere", name),
    )
    return make_app(service.SERVICE, cast(Any, deps))


def template(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path)


def rules_of(door: Door) -> dict[tuple[str, str], str | None]:
    """Method and path of every rule, and the scope it demands."""
    return {
        (method, rule.path): rule.scope
        for rule in door.rules
        for method in rule.methods
        if method != "HEAD"
    }


@pytest.fixture
def operations() -> dict[tuple[str, str], Any]:
    """What the door `scan` says of every method and path."""
    document = door_document(SCAN, app_of(ingest).openapi(), {}, base="/scan", version="1")
    return {
        (method.upper(), template(path)): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_every_gateway_rule_is_documented_by_its_service(
    operations: dict[tuple[str, str], Any],
) -> None:
    assert rules_of(SCAN).keys() <= operations.keys()
    assert {path for _, path in operations} <= {rule.path for rule in SCAN.rules}


def test_the_documentation_states_what_the_rule_demands(
    operations: dict[tuple[str, str], Any],
) -> None:
    for (_, path), operation in operations.items():
        (rule, *_) = SCAN.rules_for(path)
        scopes = {scope for each in operation["security"] for scope in next(iter(each.values()))}
        assert scopes == ({rule.scope} if rule.scope else set())


def test_every_route_of_the_scales_has_the_same_demands_at_the_gateway() -> None:
    served: dict[tuple[str, str], str | None] = {}
    for context in iter_route_contexts(app_of(scale_bridge).routes):
        path = template(str(getattr(context, "path", "")))
        demanded: Any = required_access(context)
        scope = demanded.scope if isinstance(demanded, Permission) else None
        methods = set(getattr(context, "methods", None) or [WEBSOCKET]) - {"HEAD"}
        served |= {(method, path): scope for method in methods if path not in OURS}
    rules = rules_of(SCALES)

    assert rules.keys() == served.keys()
    assert {key: scope for key, scope in served.items() if key[0] != WEBSOCKET} == {
        key: scope for key, scope in rules.items() if key[0] != WEBSOCKET
    }


def test_the_gateway_waits_as_long_as_the_service() -> None:
    patience = GatewaySettings.model_fields["slow_answer_seconds"].default

    assert patience > ScaleBridgeSettings.model_fields["answer_seconds"].default
