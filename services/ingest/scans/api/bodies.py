"""The OpenAPI schemas of the request bodies that FastAPI does not parse."""

from typing import Any, Final

_NULLABLE: Final = ["string", "null"]

_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "description": (
        "What a scanner saw. An event that breaks a rule does not fail its batch: it is kept in "
        "quarantine and named in `errors`."
    ),
    "required": ["ts", "type", "operator"],
    "properties": {
        "uuid": {
            "type": _NULLABLE,
            "format": "uuid",
            "description": "Any version; without it the id follows from the content.",
        },
        "ts": {"type": "integer", "description": "The device's clock, Unix milliseconds."},
        "type": {"type": "string", "maxLength": 50, "examples": ["ITEM", "BOX", "CLOSE"]},
        "operator": {"type": "string", "maxLength": 100},
        "client": {"type": _NULLABLE, "maxLength": 100},
        "city": {"type": _NULLABLE, "maxLength": 100},
        "box": {"type": _NULLABLE, "maxLength": 100, "examples": ["ivancov/8"]},
        "code": {"type": _NULLABLE, "maxLength": 500},
        "details": {"type": _NULLABLE, "maxLength": 65_536},
        "source": {"type": "string", "maxLength": 50, "default": "pwa"},
    },
}


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _object(required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    return _body({"type": "object", "required": required, "properties": properties})


BATCH: Final = _object(
    ["events"], {"events": {"type": "array", "minItems": 1, "maxItems": 100, "items": _EVENT}}
)
VERIFY: Final = _object(
    ["uuids"],
    {
        "uuids": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1000,
            "items": {"type": "string"},
        }
    },
)
MEND: Final = _body(
    {
        "oneOf": [
            _EVENT,
            {
                "type": "object",
                "required": ["patch"],
                "properties": {"patch": {"type": "object"}},
                "description": "A JSON merge patch (RFC 7396) of the event as it arrived.",
            },
        ]
    }
)
DROP: Final = _object(["reason"], {"reason": {"type": "string", "minLength": 1}})
