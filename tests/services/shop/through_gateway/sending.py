"""Sends the rows of a story, and says which of them were answered otherwise than they state."""

import hashlib
import hmac
import json
from collections.abc import Iterable, MutableMapping
from datetime import datetime
from typing import Any

from httpx import AsyncClient, Response

from tests.libs.files.pictures import encoded
from tests.services.shop.through_gateway.installation import (
    PAYMENT_SECRET,
    Installation,
)
from tests.services.shop.through_gateway.story import FORMS, STORY, Row

Ids = MutableMapping[str, Any]
UNKNOWN = 999_999_999


async def shop_with_staff(installation: Installation) -> tuple[Ids, dict[str, Any]]:
    """The ids of a new shop with a member of each role, and its members by role."""
    number, admin = await installation.open_shop()
    today = datetime.now(installation.shop.settings.zone).date()
    ids: Ids = {"shop": number, "unknown": UNKNOWN, "today": str(today)}
    members: dict[str, Any] = {"admin": admin}
    for role in ("manager", "florist", "courier"):
        members[role], ids[role] = await installation.hire(admin, role)
    return ids, members


async def send_all(
    installation: Installation,
    admin: Any,
    ids: Ids,
    *,
    rows: Iterable[Row] = STORY,
    prefix: str = "",
    other_slash: bool = False,
) -> list[str]:
    """Send rows in their order, by default as the specification spells them; what was wrong."""
    wrong = []
    async with installation.client(admin) as staff, installation.client() as customer:
        for one in rows:
            client = customer if one.kind else staff
            answer = await send(client, one, ids, prefix=prefix, other_slash=other_slash)
            if trouble := faults(one, answer, ids):
                wrong.append(
                    f"{one.method} {one.target} {answer.status_code} {answer.text[:300]}: {trouble}"
                )
    return wrong


async def send(
    client: AsyncClient,
    one: Row,
    ids: Ids,
    *,
    bodies: Ids | None = None,
    prefix: str = "",
    other_slash: bool = False,
) -> Response:
    """Send a row; `bodies` are the ids in its body if they are others than those in its path."""
    path, _, query = one.target.format(**ids).partition("?")
    if other_slash:
        path = path.removesuffix("/") if path.endswith("/") else f"{path}/"
    more: dict[str, Any] = {}
    if one.body in FORMS:
        data = encoded("png") if one.body == "IMAGE" else b"<html>"
        more["files"] = {"files" if "images" in path else "file": ("роза.png", data)}
        more["data"] = {"photo_type": "completion"}
    elif one.body is not None:
        more["content"] = json.dumps(filled(one.body, bodies or ids)).encode()
        more["headers"] = {"Content-Type": "application/json"}
    if one.kind == "signed":
        signed = f"{ids['bought']}.".encode() + more["content"]
        signature = hmac.new(PAYMENT_SECRET.encode(), signed, hashlib.sha256).hexdigest()
        more["headers"]["X-Signature"] = signature
    url = f"{prefix}{path}?{query}" if query else f"{prefix}{path}"
    return await client.request(one.method, url, **more)


def filled(value: Any, ids: Ids) -> Any:
    """A body with ids in place of their names."""
    if isinstance(value, dict):
        return {name: filled(one, ids) for name, one in value.items()}
    if isinstance(value, list):
        return [filled(one, ids) for one in value]
    return ids[value[1:-1]] if isinstance(value, str) and value.startswith("{") else value


def faults(one: Row, answer: Response, ids: Ids) -> str:
    """How the answer differs from the row, empty if it does not. Adds its ids to `ids`."""
    if answer.status_code != one.status:
        return f"not {one.status}"
    if not (one.fields or one.values or one.ids):
        return ""
    body = answer.json()
    if one.status >= 400 and not isinstance(body.get("detail"), str):
        return "detail is no text"
    first = body[0] if isinstance(body, list) and body else body
    if first and (missing := one.fields - {*first}):
        return f"without {sorted(missing)}"
    expected = {name: filled(value, ids) for name, value in one.values.items()}
    if (actual := {name: at(body, name) for name in expected}) != expected:
        return f"{actual} and not {expected}"
    ids.update({name: at(body, path) for name, path in one.ids.items()})
    return ""


def at(body: Any, path: str) -> Any:
    """The value at a path such as `items.0.id`."""
    for part in path.split("."):
        body = body[int(part)] if isinstance(body, list) else body[part]
    return body
