"""What a door's clients may know of it: the OpenAPI of its service within the door's rules, and
our own routes of that door, in one document."""

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
"""Stands before the name of a schema of ours that the service uses for another."""

_PARAMETER: Final = re.compile(r"\{[^}]*\}")
_SCHEMA: Final = re.compile(r'"#/components/schemas/([^"]+)"')
METHODS: Final = frozenset({"get", "post", "put", "patch", "delete", "head", "options"})


def described(
    door: Door, service: Document | None, own: Document, *, base: str, version: str
) -> Document:
    """One document for both; `service` is None while it does not say, `base` where it answers.

    Of the service only what a rule of the door lets through. The two keep their schemas apart.
    """
    theirs: Document = {} if service is None else service
    ours = _renamed(own, _clashing(schemas_of(theirs), schemas_of(own)))
    paths = dict(_let_through(door, theirs.get("paths", {})))
    for path, operations in ours.get("paths", {}).items():
        # Where both have an operation, the door leads to the service.
        paths[path] = {**operations, **paths.get(path, {})}
    needed = _needed(paths, {**schemas_of(ours), **schemas_of(theirs)})
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


def demanding(operation: Document, scope: str | None, *, schemes: Iterable[str]) -> Document:
    """The operation, saying who may use it: everybody, or holders of `scope` (empty for any)."""
    if scope is None:
        return {**operation, "security": []}
    roles = [scope] if scope else []
    return {**operation, "security": [{scheme: roles} for scheme in schemes]}


def _let_through(door: Door, paths: Mapping[str, Any]) -> Iterator[tuple[str, Document]]:
    for path, operations in paths.items():
        rules = door.rules_for(_PARAMETER.sub("{}", path))
        kept = {
            method: demanding(operation, rule.scope, schemes=(KEY, TOKEN))
            for method, operation in operations.items()
            if method in METHODS and (rule := _rule_for(rules, method)) is not None
        }
        if kept:
            shared = {name: said for name, said in operations.items() if name not in METHODS}
            yield path, {**shared, **kept}


def _rule_for(rules: Iterable[Rule], method: str) -> Rule | None:
    return next((rule for rule in rules if method.upper() in rule.methods), None)


def _clashing(theirs: Document, ours: Document) -> set[str]:
    return {name for name, schema in ours.items() if theirs.get(name, schema) != schema}


def _renamed(document: Document, names: set[str]) -> Document:
    """The document with other names for those schemas."""
    if not names:
        return document

    def renamed(found: re.Match[str]) -> str:
        name = found[1]
        return f'"#/components/schemas/{OURS if name in names else ""}{name}"'

    made: Document = json.loads(_SCHEMA.sub(renamed, json.dumps(document)))
    schemas = {f"{OURS if name in names else ''}{name}": s for name, s in schemas_of(made).items()}
    return {**made, "components": {**made.get("components", {}), "schemas": schemas}}


def _needed(paths: Document, schemas: Document) -> Document:
    """Those of the schemas that the paths speak of, at first or second hand."""
    needed: Document = {}
    asked = _named_in(paths)
    while missing := sorted(name for name in asked - needed.keys() if name in schemas):
        needed.update({name: schemas[name] for name in missing})
        asked |= _named_in({name: schemas[name] for name in missing})
    return needed


def _named_in(document: Document) -> set[str]:
    return set(_SCHEMA.findall(json.dumps(document)))
