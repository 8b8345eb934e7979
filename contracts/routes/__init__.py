"""The routes that each service publishes, which the gateway lets requests through to.

`<service>.json` is generated from the routes themselves: `python -m services.<service> routes`. A
route has a method, `(websocket)` for WebSockets; a path, in which `{}` is one segment; the scope it
requires, null if it is public; and its rate class. A `slow` route waits for something outside.
"""

import json
from importlib.resources import files
from typing import Any


def published(service: str) -> list[dict[str, Any]]:
    """The routes of a service, in the order in which it tries them; none before it has any."""
    file = files(__name__).joinpath(f"{service}.json")
    routes: list[dict[str, Any]] = json.loads(file.read_text("utf-8")) if file.is_file() else []
    return routes
