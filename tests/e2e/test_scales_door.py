"""The door of the scales and the service behind it agree: every route has a rule, and its scope."""

import re
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi.routing import iter_route_contexts

from libs.http.auth import Permission
from libs.http.undeclared import demands_of
from libs.telemetry.traces import set_up
from services.gateway.domain.door import WEBSOCKET
from services.gateway.domain.doors import SCALES
from services.gateway.settings import Settings as Patience
from services.scale_bridge import bootstrap
from services.scale_bridge.deps import Deps
from services.scale_bridge.settings import Settings

OURS = {"/health", "/ready", "/metrics", "/internal/openapi.json"}


@pytest.fixture
def routes() -> list[tuple[str, str, str | None]]:
    """Method, path and scope of every route; nothing behind them is needed for that."""
    deps = SimpleNamespace(
        settings=SimpleNamespace(
            max_body_bytes=1, max_streams=1, stream_poll_seconds=1.0, max_bridges=1, debug=False
        ),
        telemetry=set_up("scale_bridge"),
        reading=None,
        revocations=SimpleNamespace(check=None),
    )
    app = bootstrap.create_app(cast(Deps, deps))
    found: list[tuple[str, str, str | None]] = []
    for context in iter_route_contexts(app.routes):
        path = str(getattr(context, "path", ""))
        if path in OURS:
            continue
        demanded: Any = demands_of(context)
        scope = demanded.scope if isinstance(demanded, Permission) else None
        for method in getattr(context, "methods", None) or [WEBSOCKET]:
            found.append((method, re.sub(r"\{[^}]*\}", "{}", path), scope))
    return found


def test_every_route_is_behind_the_door_and_demands_the_same(
    routes: list[tuple[str, str, str | None]],
) -> None:
    rules = {
        (method, rule.path): rule.scope
        for rule in SCALES.rules
        for method in rule.methods
        if method != "HEAD"
    }
    served = {(method, path): scope for method, path, scope in routes if method != "HEAD"}

    assert rules.keys() == served.keys()
    assert {key: scope for key, scope in served.items() if key[0] != WEBSOCKET} == {
        key: scope for key, scope in rules.items() if key[0] != WEBSOCKET
    }


def test_the_door_waits_as_long_as_the_service_does() -> None:
    patience = Patience.model_fields["slow_answer_seconds"].default

    assert patience > Settings.model_fields["answer_seconds"].default
