"""From a customer's order at the storefront to the message in Telegram, over a real broker."""

from typing import Any
from uuid import uuid4

from libs.messaging.topics import ensure_topics, read_topics
from libs.testing.databases import migrated
from libs.testing.polling import eventually
from libs.testing.services import whole_worker
from services.gateway.bootstrap import SERVICE as GATEWAY
from services.shop.bootstrap import SERVICE as SHOP
from services.shop.context import tenant_of
from tests.services.gateway.bot_api import open_bot_api
from tests.services.gateway.shop_door import open_door
from tests.services.shop.gateway import ROSES, open_gateway
from tests.services.shop.kit import open_shop
from tests.services.shop.products.catalogue import add


async def test_an_order_of_the_storefront_is_a_message_to_the_admin_of_that_shop(
    postgres_url: str, kafka_bootstrap: str
) -> None:
    prefix = f"t{uuid4().hex[:12]}"
    kafka: dict[str, Any] = {
        "kafka_bootstrap_servers": kafka_bootstrap,
        "topic_prefix": prefix,
        "stale_wait_seconds": 10,
    }
    await ensure_topics(kafka_bootstrap, prefix, read_topics())
    with migrated(postgres_url, "gateway") as accounts, migrated(postgres_url, "shop") as orders:
        async with (
            open_bot_api() as api,
            open_door(accounts, api, by_worker=True, **kafka) as door,
            open_gateway() as directory,
            open_shop(orders, by_worker=True, jwks_url=directory.jwks_url, **kafka) as shop,
            whole_worker(GATEWAY, door.deps.settings),
            whole_worker(SHOP, shop.settings),
        ):
            anna, stranger = await door.admin(), await door.admin()
            number = int((await door.who_is(anna)).json()["shop"]["id"])
            directory.answers = {tenant_of(number): ROSES}
            async with shop.staff(number=number) as staff, shop.anonymous() as customer:
                product = await add(staff)
                body = {
                    "shop_id": number,
                    "customer_phone": "+77012223344",
                    "delivery_method": "pickup",
                    "items": [{"product_id": product["id"], "quantity": 1}],
                }
                answer = await customer.post("/api/public/orders", json=body)
                assert answer.status_code == 200, answer.text

            def texts() -> list[str]:
                sent = [one for one in api.messages if one["chat_id"] == anna.telegram_id]
                return [one["text"] for one in sent if "Новый заказ" in one["text"]]

            [text] = await eventually(texts)

    assert "25000" in text
    assert "+7701" not in text
    others = [one["text"] for one in api.messages if one["chat_id"] == stranger.telegram_id]
    assert not any("Новый заказ" in one for one in others)
