"""What users of the kiosks look like from outside, and a new one."""

from typing import Any, Final

from httpx import Response

from tests.services.gateway.api.people import PASSWORD, some_name

USERS: Final = "/api/v1/users"
SHOWN: Final = {
    *("user_id", "username", "email", "phone", "is_active", "is_verified", "role_name"),
    *("created_at", "updated_at", "last_login_at"),
}


def new(**more: Any) -> dict[str, Any]:
    """What is sent to make somebody."""
    return {"username": some_name(), "password": PASSWORD, **more}


def code_of(answer: Response) -> tuple[int, str]:
    """The status and code of a refusal, which has the clients' three fields."""
    told = answer.json()
    assert told.keys() == {"detail", "code", "request_id"}
    return answer.status_code, told["code"]
