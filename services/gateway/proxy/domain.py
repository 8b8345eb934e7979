"""The OpenAPI document of a door: the operations of its service that the door's rules permit, and
the gateway's own routes at the door."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from services.gateway.doors.domain.door import Door, Rule

Document: TypeAlias = dict[str, Any]

KEY: Final = "ApiKey"
TOKEN: Final = "AccessToken"  # noqa: S105 - the name of a scheme
SCHEMES: Final[Document] = {
    KEY: {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    TOKEN: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
}
OURS: Final = "Gateway"
"""The prefix of a schema of the gateway whose name the service uses for another one."""

_PARAMETER: Final = re.compile(r"\{[^}]*\}")
_SCHEMA: Final = re.compile(r'"#/components/schemas/([^"]+)"')
METHODS: Final = frozenset({"get", "post", "put", "patch", "delete", "head", "options"})


def door_document(
    door: Door, service: Document | None, own: Document, *, base: str, version: str
) -> Document:
    """The document of a door. `service` is the service's, None while it is unavailable; `own` that
    of the gateway's routes; `base` the path that the door's clients use in front.

    Of the service it has the operations that a rule permits. Schemas of the same name are kept
    apart.
    """
    service_document: Document = {} if service is None else service
    own_document = _renamed(own, _clashing(schemas_of(service_document), schemas_of(own)))
    paths = dict(_permitted(door, service_document.get("paths", {})))
    for path, operations in own_document.get("paths", {}).items():
        # Where both have an operation, the door leads to the service.
        paths[path] = {**operations, **paths.get(path, {})}
    needed = _needed(paths, {**schemas_of(own_document), **schemas_of(service_document)})
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Tillstream: {door.name}", "version": version},
        "servers": [{"url": base or "/"}],
        "paths": paths,
        "components": {"schemas": needed, "securitySchemes": SCHEMES},
    }


def schemas_of(document: Document) -> Document:
    """The schemas of a document, by name."""
    schemas: Document = document.get("components", {}).get("schemas", {})
    return schemas


def with_security(operation: Document, scope: str | None, *, schemes: Iterable[str]) -> Document:
    """The operation with its `security`: none, or `scope` (empty for any caller)."""
    if scope is None:
        return {**operation, "security": []}
    roles = [scope] if scope else []
    return {**operation, "security": [{scheme: roles} for scheme in schemes]}


def _permitted(door: Door, paths: Mapping[str, Any]) -> Iterator[tuple[str, Document]]:
    for path, operations in paths.items():
        rules = door.rules_for(_PARAMETER.sub("{}", path))
        permitted = {
            method: with_security(operation, rule.scope, schemes=(KEY, TOKEN))
            for method, operation in operations.items()
            if method in METHODS and (rule := _rule_for(rules, method)) is not None
        }
        if permitted:
            shared = {name: value for name, value in operations.items() if name not in METHODS}
            yield path, {**shared, **permitted}


def _rule_for(rules: Iterable[Rule], method: str) -> Rule | None:
    return next((rule for rule in rules if method.upper() in rule.methods), None)


def _clashing(service_document: Document, own_document: Document) -> set[str]:
    return {
        name
        for name, schema in own_document.items()
        if service_document.get(name, schema) != schema
    }


def _renamed(document: Document, names: set[str]) -> Document:
    """The document with these schemas prefixed by OURS."""
    if not names:
        return document

    def renamed(reference: re.Match[str]) -> str:
        name = reference[1]
        return f'"#/components/schemas/{OURS if name in names else ""}{name}"'

    renamed_document: Document = json.loads(_SCHEMA.sub(renamed, json.dumps(document)))
    schemas = {
        f"{OURS if name in names else ''}{name}": s
        for name, s in schemas_of(renamed_document).items()
    }
    return {
        **renamed_document,
        "components": {**renamed_document.get("components", {}), "schemas": schemas},
    }


def _needed(paths: Document, schemas: Document) -> Document:
    """The schemas that the paths refer to, directly or indirectly."""
    needed: Document = {}
    referenced = _references(paths)
    while missing := sorted(name for name in referenced - needed.keys() if name in schemas):
        needed.update({name: schemas[name] for name in missing})
        referenced |= _references({name: schemas[name] for name in missing})
    return needed


def _references(document: Document) -> set[str]:
    return set(_SCHEMA.findall(json.dumps(document)))
