"""A shop's whole way in and out, through a running gateway and a bot that is told by webhook."""

import re
from typing import Any

import aiohttp

from services.gateway import bootstrap
from tests.services.gateway.adapters.bot_api import TOKEN, open_bot_api
from tests.services.gateway.code_desk import BOT_NAME, some_phone
from tests.services.gateway.conftest import gateway_settings
from tests.services.gateway.test_bootstrap import served

ANNA = 777_001


def own_contact(phone: str) -> dict[str, object]:
    """What Telegram brings when somebody shares their own contact."""
    who = {"id": ANNA, "is_bot": False, "first_name": "Анна"}
    message = {
        "message_id": 1,
        "date": 1_700_000_000,
        "from": who,
        "chat": {"id": ANNA, "type": "private"},
        "contact": {"phone_number": phone[1:], "first_name": "Анна", "user_id": ANNA},
    }
    return {"update_id": 1, "message": message}


async def test_from_the_first_code_to_the_last_logout(url: str) -> None:
    phone = some_phone()
    async with open_bot_api() as api:
        settings = gateway_settings(
            "http://127.0.0.1:1",
            database_url=url,
            profile="production",
            telegram_url=api.url,
            telegram_token=TOKEN,
            telegram_bot=BOT_NAME,
        )
        async with (
            bootstrap.open_deps(settings) as deps,
            served(bootstrap.create_app(deps)) as gateway,
            aiohttp.ClientSession(gateway) as browser,
        ):
            api.chats.add(ANNA)
            api.webhook = f"{gateway}/api/telegram/webhook"
            api.secret = deps.webhook_secret or ""

            async def post(
                path: str, body: object = None, token: str = ""
            ) -> tuple[int, dict[str, Any]]:
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                async with browser.post(f"/api/auth/{path}", json=body, headers=headers) as answer:
                    return answer.status, await answer.json() if answer.status != 204 else {}

            _, told = await post("request-otp", {"phone": phone})
            assert told["delivery_method"] == "need_registration"
            assert await api.bring(own_contact(phone)) == 200

            _, told = await post("request-otp", {"phone": phone})
            assert told["delivery_method"] == "telegram"
            (code,) = re.findall(r"\b\d{6}\b", api.last_to(ANNA)["text"])
            status, told = await post("verify-otp", {"phone": phone, "otp_code": code})
            assert (status, told["is_new_user"]) == (200, True)
            status, told = await post(
                "complete-registration", {"name": "Розы"}, told["access_token"]
            )
            assert (status, told["shop_name"]) == (201, "Розы")
            token = told["access_token"]

            headers = {"Authorization": f"Bearer {token}", "X-Shop-Phone": "+77770000000"}
            for prefix in ("", "/shop"):
                async with browser.get(
                    f"{prefix}/api/auth/current-user", headers=headers
                ) as answer:
                    assert answer.status == 200
                    # The token says which shop, whatever the header claims.
                    assert (await answer.json())["shop"]["phone"] == phone

            assert (await post("logout", token=token))[0] == 204
            async with browser.get("/api/auth/current-user", headers=headers) as answer:
                assert answer.status == 401
                assert answer.headers["WWW-Authenticate"] == "Bearer"
