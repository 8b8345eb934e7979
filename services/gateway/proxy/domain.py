"""The OpenAPI document of a door: the operations of its service that the door's rules permit, and
the gateway's own routes at the door."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from services.gateway.doors.domain.door import AuthScheme, Door, Rule

Document: TypeAlias = dict[str, Any]

KEY: Final = "ApiKey"
TOKEN: Final = "AccessToken"  # noqa: S105 - the name of a scheme
LOGIN: Final = "Login"
"""The scheme of a door whose clients log in by a form (OAuth 2, password)."""
OURS: Final = "Gateway"
"""The prefix of a schema of the gateway whose name the service uses for another one."""
GROUPS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("crm", "kiosk", "scales"), "logins and users"),
    "auth": "logins",
    "shop": "users",
    "identity": "sessions, keys and passwords",
    "oauth": "approval of devices",
}
"""The headings of operations of the gateway by their tags, for tags that are not clear."""

_PARAMETER: Final = re.compile(r"\{[^}]*\}")
_REFERENCE: Final = re.compile(r"\s*\((?:[^()]*§[^()]*|R\d+)\)")
"""A reference to a specification, which the readers of a document do not have."""
_CLAUSE: Final = re.compile(r"[.;:](?:\s|$)")
_SCHEMA: Final = re.compile(r'"#/components/schemas/([^"]+)"')
METHODS: Final = frozenset({"get", "post", "put", "patch", "delete", "head", "options"})


def door_document(
    door: Door, service: Document | None, own: Document, *, base: str, version: str
) -> Document:
    """The document of a door. `service` is the service's, None while it is unavailable; `own` that
    of the gateway's routes; `base` the path that the door's clients use in front.

    Of the service it has the operations that a rule permits. Schemas of the same name are kept
    apart. The first clause of its description is an operation's summary.
    """
    service_document: Document = {} if service is None else service
    own_document = _renamed(own, _clashing(schemas_of(service_document), schemas_of(own)))
    paths = dict(_permitted(door, service_document.get("paths", {})))
    for path, operations in own_document.get("paths", {}).items():
        # Where both have an operation, the door leads to the service.
        paths[path] = {**_grouped(operations), **paths.get(path, {})}
    paths = {path: _readable(operations) for path, operations in paths.items()}
    needed = _needed(paths, {**schemas_of(own_document), **schemas_of(service_document)})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Tillstream: {door.name}",
            "version": version,
            "description": door.about,
        },
        "servers": [{"url": base or "/"}],
        "paths": paths,
        "components": {"schemas": needed, "securitySchemes": _schemes(door, paths, base)},
    }


def schemes_of(door: Door) -> tuple[str, ...]:
    """The security schemes of operations that want an access token."""
    return (LOGIN, TOKEN) if door.form_login else (TOKEN,)


def schemas_of(document: Document) -> Document:
    """The schemas of a document, by name."""
    schemas: Document = document.get("components", {}).get("schemas", {})
    return schemas


def with_security(operation: Document, scope: str | None, *, schemes: Iterable[str]) -> Document:
    """The operation with its `security`: none, or `scope` (empty for any caller)."""
    if scope is None:
        return {**operation, "security": []}
    roles = [scope] if scope else []
    security = [{scheme: [] if scheme == LOGIN else roles} for scheme in schemes]
    return {**operation, "security": security}


def _schemes(door: Door, paths: Document, base: str) -> Document:
    """The security schemes that operations use."""
    flow = {"tokenUrl": f"{base}{door.form_login}", "scopes": {}}
    schemes: Document = {
        LOGIN: {
            "type": "oauth2",
            "description": "E-mail address and password; the client's id and secret stay empty.",
            "flows": {"password": flow},
        },
        KEY: {
            "type": "apiKey",
            "in": "header",
            "name": "X-API-Key",
            "description": "An API key, which an administrator issues.",
        },
        TOKEN: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The `access_token` that a login answers.",
        },
    }
    used = {
        name
        for operations in paths.values()
        for method in METHODS & operations.keys()
        for alternative in operations[method].get("security", ())
        for name in alternative
    }
    return {name: scheme for name, scheme in schemes.items() if name in used}


def _grouped(operations: Document) -> Document:
    return {
        method: {**one, "tags": list(dict.fromkeys(GROUPS.get(tag, tag) for tag in one["tags"]))}
        if "tags" in one
        else one
        for method, one in operations.items()
    }


def _readable(operations: Document) -> Document:
    return {
        method: _with_summary(one) if method in METHODS else one
        for method, one in operations.items()
    }


def _with_summary(operation: Document) -> Document:
    """The operation with its summary and required permission in words."""
    text = _REFERENCE.sub("", operation.get("description", ""))
    clause = " ".join(_CLAUSE.split(text, maxsplit=1)[0].split())
    security = operation.get("security", ())
    scopes = {scope for one in security for roles in one.values() for scope in roles}
    needs = [f"Needs the permission `{scope}`." for scope in sorted(scopes)]
    text = "" if text.removesuffix(".") == clause else text
    described = {"description": "\n\n".join(filter(None, (text, *needs)))} if text or needs else {}
    return {**operation, **({"summary": clause} if clause else {}), **described}


def _permitted(door: Door, paths: Mapping[str, Any]) -> Iterator[tuple[str, Document]]:
    own = schemes_of(door)
    schemes = (KEY, *own) if door.auth_scheme is AuthScheme.API_KEY else (*own, KEY)
    for path, operations in paths.items():
        rules = door.rules_for(_PARAMETER.sub("{}", path))
        permitted = {
            method: with_security(operation, rule.scope, schemes=schemes)
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
