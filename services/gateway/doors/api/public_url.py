"""The address of this gateway, as clients reach it."""

import re
from typing import Final

from fastapi import HTTPException, Request

from services.gateway.context import Deps
from services.gateway.doors.api.peer import Peer, peer_of

HOST: Final = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def base_of(gateway: Deps, request: Request) -> str:
    """The public URL of the gateway, with the prefix of the request's door and no trailing slash.

    It is the setting, else the address that the client used. Raises HTTPException 400 for a
    malformed host.
    """
    door = str(request.scope.get("root_path", "")).rstrip("/")
    if gateway.settings.public_url is not None:
        return gateway.settings.public_url.rstrip("/") + door
    peer = _peer(gateway, request)
    if peer.proto not in ("http", "https") or not HOST.fullmatch(peer.host):
        raise HTTPException(400, "The Host is not acceptable")
    return f"{peer.proto}://{peer.host}{door}"


def host_of(gateway: Deps, request: Request) -> str:
    """The host and port that the client used."""
    return _peer(gateway, request).host


def _peer(gateway: Deps, request: Request) -> Peer:
    headers = dict(request.scope["headers"])
    return peer_of(request.scope, headers, gateway.settings.trusted_proxies)
