"""An OpenAPI document as an HTML page: tables, one style, no script."""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from html import escape
from typing import Any, Final

from services.gateway.doors.api.page import framed_page
from services.gateway.proxy.domain import METHODS, SCHEMES, Document

STYLE: Final = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem }
h1, h2, h3 { line-height: 1.2 }
h3 { font: 600 1rem ui-monospace, monospace; overflow-wrap: anywhere }
section { border-top: 1px solid #8886; padding: .5rem 0 }
table { border-collapse: collapse; width: 100% }
th, td { padding: .25rem .75rem .25rem 0; text-align: left; vertical-align: top }
th { font-weight: 600 }
code { font-family: ui-monospace, monospace; overflow-wrap: anywhere }
.method { display: inline-block; min-width: 4.5rem; text-transform: uppercase }
:focus-visible { outline: 3px solid #1a6fe0; outline-offset: 2px }
"""
_DIGEST: Final = b64encode(sha256(STYLE.encode()).digest()).decode()
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; form-action 'none'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
DEEPEST: Final = 4
"""The levels of nested schemas that are written out; deeper ones are named only."""


def index_page(doors: Sequence[str]) -> str:
    """The list of doors."""
    rows = "".join(
        f'<li><a href="/{escape(door)}/docs">{escape(door)}</a> '
        f'(<a href="/{escape(door)}/openapi.json">openapi.json</a>)</li>'
        for door in doors
    )
    text = "<p>Each door is one product's API, described in OpenAPI (Swagger).</p>"
    return _framed("Tillstream", f"{text}<ul>{rows}</ul>")


def door_page(document: Document, *, base: str) -> str:
    """All operations of a document; `base` is the path in front of theirs, or empty."""
    info = document["info"]
    description = f"<p>{escape(info['description'])}</p>" if "description" in info else ""
    link = f'<p>OpenAPI (Swagger): <a href="{escape(base)}/openapi.json">openapi.json</a></p>'
    operations = "".join(
        _operation(base + path, method, operation, document)
        for path, method, operation in _operations(document)
    )
    return _framed(info["title"], description + link + operations)


def _operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, operations in sorted(document["paths"].items()):
        for method, operation in operations.items():
            if method in METHODS:
                yield path, method, operation


def _operation(path: str, method: str, operation: Document, document: Document) -> str:
    parts = [
        f'<section><h3><span class="method">{escape(method)}</span> {escape(path)}</h3>',
        f"<p>{_text(operation.get('description') or operation.get('summary'))}</p>",
        f"<p>{_who(operation.get('security', []))}</p>",
        _parameters(operation.get("parameters", ())),
        _body(operation.get("requestBody"), document),
        _answers(operation.get("responses", {})),
        "</section>",
    ]
    return "".join(parts)


def _who(security: Sequence[Mapping[str, Sequence[str]]]) -> str:
    if not security:
        return "Open to everybody."
    names = {"ApiKey": "X-API-Key", "AccessToken": "Authorization: Bearer"}
    schemes = [names[name] for one in security for name in one if name in SCHEMES]
    scopes = sorted({scope for one in security for roles in one.values() for scope in roles})
    alternatives = " or ".join(f"<code>{escape(scheme)}</code>" for scheme in schemes)
    return f"{alternatives} {''.join(f'with <code>{escape(scope)}</code>' for scope in scopes)}"


def _parameters(parameters: Sequence[Document]) -> str:
    rows = [
        (
            f"<code>{escape(str(one.get('name', '')))}</code>",
            escape(str(one.get("in", ""))),
            _kind(one.get("schema", {})),
            "required" if one.get("required") else "",
            _text(one.get("description")),
        )
        for one in parameters
    ]
    return _table(("Parameter", "In", "Type", "", "Meaning"), rows)


def _body(body: Document | None, document: Document) -> str:
    rows = [
        (f"<code>{escape(name)}</code>", _kind(schema), "required" if required else "")
        for content in (body or {}).get("content", {}).values()
        for name, schema, required in _fields(content.get("schema", {}), document, DEEPEST)
    ]
    kinds = ", ".join(escape(kind) for kind in (body or {}).get("content", {}))
    return _table((f"Body ({kinds})", "Type", ""), rows)


def _fields(
    schema: Document, document: Document, depth: int, before: str = ""
) -> Iterator[tuple[str, Document, bool]]:
    """The fields of a body, those of lists as `list[].field`."""
    whole = _resolved(schema, document)
    if "items" in whole and depth > 1:
        yield from _fields(whole["items"], document, depth - 1, f"{before}[]")
    for name, inner in whole.get("properties", {}).items():
        path = f"{before}.{name}".lstrip(".")
        yield path, inner, name in whole.get("required", ())
        if depth > 1:
            yield from _fields(inner, document, depth - 1, path)


def _resolved(schema: Document, document: Document) -> Document:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    resolved: Document = document["components"]["schemas"].get(name, schema) if name else schema
    return resolved


def _answers(answers: Mapping[str, Document]) -> str:
    rows = [(escape(status), _text(one.get("description"))) for status, one in answers.items()]
    return _table(("Status", "Answer"), rows)


def _kind(schema: Document) -> str:
    if "$ref" in schema:
        return escape(str(schema["$ref"]).rpartition("/")[2])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(_kind(one) for one in schema[several])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return escape(str(schema.get("format") or schema.get("type") or "any"))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    heads = "".join(f'<th scope="col">{one}</th>' for one in head)
    cells = "".join("<tr>" + "".join(f"<td>{one}</td>" for one in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{cells}</tbody></table>"


def _text(text: Any) -> str:
    return escape(str(text or ""))


def _framed(title: str, content: str) -> str:
    return framed_page(title, content, style=STYLE)
