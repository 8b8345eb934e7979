"""Texts that databases and encoders choke on are refused, never a mistake of ours."""

from typing import Any

import pytest

from services.gateway.domain.realm import DEVICE, SUPERADMIN, Realm
from tests.services.gateway.api.inside import PASSWORD, House, crm_user, kiosk_user, some_email

USERS, AUTH = "/api/v1/users", "/api/v1/auth"


def with_text(body: dict[str, Any], field: str, strange: str) -> str:
    """JSON that says `strange`, an escape that no encoder would make, in one field."""
    parts = [f'"{name}": "{strange if name == field else said}"' for name, said in body.items()]
    return "{" + ", ".join(parts) + "}"


@pytest.mark.parametrize("strange", ["ab\\u0000cd1234", "ab\\ud800cd1234"], ids=("NUL", "half"))
@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("/api/v1/kiosk/login", {200, 401, 422}),
        (f"{AUTH}/login", {401, 422}),
        (f"{USERS}/create-admin", {200, 422}),
        (USERS, {201, 422}),
        (f"{AUTH}/refresh", {401, 422}),
        (f"{AUTH}/logout", {200, 422}),
        ("/auth/register", {201, 422}),
    ],
)
async def test_a_strange_text_is_refused_in_any_field(
    house: House, path: str, statuses: set[int], strange: str
) -> None:
    is_crm = path == USERS
    boss = await house.member(*((Realm.CRM, "ADMIN") if is_crm else (Realm.KIOSK, SUPERADMIN)))
    kiosk = await house.account(Realm.KIOSK, DEVICE)

    def body() -> dict[str, Any]:
        if path.endswith("login"):
            user = {"username": kiosk.person.username, "password": PASSWORD}
            return {**user, "device_id": "hall"}
        if path.startswith(USERS):
            new = crm_user if is_crm else kiosk_user
            return new(email=some_email(), phone="8 800")
        if path == "/auth/register":
            return {"email": some_email(), "password": PASSWORD}
        return {"refresh_token": ""}

    for field in body():
        headers = {"Content-Type": "application/json"}
        if path.startswith(USERS):
            headers |= boss.headers
        content = with_text(body(), field, strange)
        answer = await house.client.post(path, content=content, headers=headers)
        assert answer.status_code in statuses, field
