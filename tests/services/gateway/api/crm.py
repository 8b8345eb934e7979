"""What users of the crm look like from outside, and a new one."""

from typing import Any, Final

from httpx import Response

from tests.services.gateway.api.people import PASSWORD, some_email

USERS: Final = "/api/v1/users"
SHOWN: Final = {
    *("id", "email", "full_name", "phone", "role", "city_id", "district_id", "city", "district"),
    *("is_active", "last_login_at", "created_at", "updated_at"),
}


def new(**more: Any) -> dict[str, Any]:
    """What is sent to make somebody."""
    body = {"email": some_email(), "password": PASSWORD, "full_name": "Пётр Кузнецов"}
    return {**body, "role": "ENGINEER", **more}


def error_of(answer: Response) -> tuple[int, str]:
    """The status and code; the site must find no `detail`."""
    assert answer.json().keys() == {"error"}
    assert answer.json()["error"].keys() == {"code", "message", "details"}
    return answer.status_code, answer.json()["error"]["code"]
