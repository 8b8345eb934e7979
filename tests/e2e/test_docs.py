"""The documents of the doors are of the services as they are: no rule without a description."""

import re
from types import SimpleNamespace
from typing import Any, cast

import pytest

from libs.telemetry.traces import set_up
from services.gateway.domain.description import described
from services.gateway.domain.doors import SCAN
from services.ingest import bootstrap as ingest
from services.ingest.deps import Deps


@pytest.fixture
def published() -> dict[str, Any]:
    """What ingest says of itself; nothing behind its routes is needed for that."""
    settings = SimpleNamespace(max_body_bytes=1, max_streams=1, stream_poll_seconds=1.0)
    deps = SimpleNamespace(
        settings=settings,
        telemetry=set_up("ingest"),
        reading=None,
        revocations=SimpleNamespace(check=None),
    )
    document: dict[str, Any] = ingest.create_app(cast(Deps, deps)).openapi()
    return document


def test_every_rule_of_the_door_is_described_by_its_service(published: dict[str, Any]) -> None:
    document = described(SCAN, published, {}, base="/scan", version="1")

    said = {
        (method.upper(), re.sub(r"\{[^}]*\}", "{}", path))
        for path, operations in document["paths"].items()
        for method in operations
    }
    wanted = {
        (method, rule.path) for rule in SCAN.rules for method in rule.methods if method != "HEAD"
    }
    assert wanted <= said
    assert {path for _, path in said} <= {rule.path for rule in SCAN.rules}


def test_a_description_says_what_the_rule_demands(published: dict[str, Any]) -> None:
    document = described(SCAN, published, {}, base="/scan", version="1")

    for path, operations in document["paths"].items():
        (rule, *_) = SCAN.rules_for(re.sub(r"\{[^}]*\}", "{}", path))
        for operation in operations.values():
            scopes = {
                scope for each in operation["security"] for scope in next(iter(each.values()))
            }
            assert scopes == ({rule.scope} if rule.scope else set())
