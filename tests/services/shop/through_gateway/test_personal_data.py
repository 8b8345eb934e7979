"""What customers say of themselves is in clear in the columns declared personal, nowhere else."""

import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any, Final
from uuid import uuid4

import asyncpg
import pytest
import structlog
from aiokafka import AIOKafkaConsumer
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from libs.clock import utc_now
from libs.eventsourcing.log import Metadata
from libs.messaging.topics import ensure_topics, read_topics, topic_name
from libs.messaging.worker import open_worker
from libs.postgres.personal import personal_columns
from libs.telemetry import logs
from libs.telemetry.traces import set_up
from services.shop.bootstrap import SERVICE
from services.shop.context import tenant_of
from services.shop.orders.domain.commands import AddPhoto
from services.shop.orders.handlers.execution import carry_out
from tests.libs.files.pictures import encoded
from tests.libs.messaging.lab import running
from tests.services.shop.orders.florist import Florist
from tests.services.shop.through_gateway.installation import Installation, open_installation

MARK: Final = "Xylophone"
"""In every text that names a customer or is written by or about one."""
PHONE: Final = "7019998877"
PERSON: Final = {
    "customer_phone": f"+7{PHONE}",
    "recipient_phone": f"+7{PHONE}",
    "recipient_name": f"{MARK} A",
    "address": f"ул. {MARK} 15, кв. 3",
}
COLUMNS: Final = """
SELECT format('%I.%I', table_schema, table_name) AS name, table_name, column_name,
    data_type = 'bytea' AS is_binary
FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
WHERE table_schema LIKE $1 AND table_type = 'BASE TABLE'
"""


@pytest.fixture
def log() -> Iterator[StringIO]:
    """All that is logged as in production."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    logs.set_up("shop", "DEBUG", stream=(written := StringIO()))
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.configure(**before)


@pytest.mark.slow
async def test_customers_are_named_in_personal_columns_only(
    addresses: tuple[str, str], log: StringIO, kafka_bootstrap: str
) -> None:
    exporter = InMemorySpanExporter()
    telemetry = set_up("shop", sampler=ALWAYS_ON, exporter=exporter)
    async with open_installation(*addresses, telemetry=telemetry) as installation:
        await _write_everything(installation)
        named = await _columns_with_marks(addresses[1], "shop%")
        messages = await _relayed(installation, kafka_bootstrap)
    await telemetry.stop()

    declared = {
        (table.name, column.name)
        for table in SERVICE.personal
        for columns in personal_columns(table).values()
        for column in columns
    }
    assert named - declared == set()
    # No route describes a photo.
    assert declared - named == {("order_photo", "description")}
    assert await _columns_with_marks(addresses[0], "gateway%") == set()
    lines = [line for line in log.getvalue().splitlines() if '"logger": "http' not in line]
    assert len(lines) > 1
    # httpx and httpcore are the test's own client.
    assert [line for line in lines if _marked(line.encode())] == []
    spans = exporter.get_finished_spans()
    assert len(spans) > 20
    assert not [one.name for one in spans if _marked(one.to_json(indent=None).encode())]
    assert len(messages) > 20
    assert not [one for one in messages if _marked(one)]


def _marked(data: bytes) -> bool:
    return MARK.encode() in data or PHONE.encode() in data


async def _write_everything(installation: Installation) -> None:
    """Say something of a customer in every text there is."""
    shop, anna = await installation.open_shop()
    _, florist_number = await installation.hire(anna, "florist")
    async with installation.client(anna) as admin, installation.client() as customer:

        async def do(method: str, path: str, body: Any, **more: Any) -> Any:
            client = customer if "/public/" in path else admin
            answer = await client.request(method, path, json=body, **more)
            assert answer.status_code in (200, 201), (path, answer.text)
            return answer.json()

        one = {
            "name": f"{MARK} B",
            "email": f"{MARK}@example.com",
            "notes": MARK,
            "preferences": MARK,
            "addresses": [{"address": f"{MARK} 1", "label": MARK}],
            "important_dates": [{"date": "03-08", "description": MARK}],
        }
        (kept, merged) = [
            await do("POST", "/api/customers/", {**one, "phone": phone})
            for phone in ("87010000001", f"8{PHONE}")
        ]
        await do("PUT", f"/api/customers/{kept['id']}", {"name": f"{MARK} C"})
        await do("POST", f"/api/customers/{kept['id']}/addresses", {"address": f"{MARK} 2"})
        pair = {"keep_customer_id": kept["id"], "merge_customer_id": merged["id"]}
        await do("POST", "/api/customers/merge", pair)

        product = await Florist(admin).product()
        order = await do(
            "POST",
            "/api/orders/with-items",
            {
                **PERSON,
                "delivery_method": "delivery",
                "comment": MARK,
                "items": [{"product_id": product, "quantity": 1}],
            },
        )
        path = f"/api/orders/{order['id']}"
        await do("PATCH", path, {"recipient_name": f"{MARK} D", "address": f"{MARK} 4"})
        comment = await do("POST", f"{path}/comments", {"text": MARK})
        await do("PATCH", f"/api/comments/{comment['id']}", {"text": f"{MARK} E"})
        await do("PATCH", f"{path}/status", {"status": "paid", "comment": MARK})
        await installation.react()
        (task,) = (await do("GET", f"/api/production/tasks/?order_id={order['id']}", None))["items"]
        step = f"/api/production/tasks/{task['id']}"
        await do("PATCH", step, {"instructions": MARK})
        await do("POST", f"{step}/assign", {"florist_id": florist_number})
        await do("POST", f"{step}/start", {"florist_notes": MARK})
        item = f"/api/production/task-items/{task['items'][0]['id']}"
        await do("PUT", item, {"quality_notes": MARK})
        await do("POST", f"{step}/complete", {"florist_notes": MARK})
        check = {"quality_score": 4, "quality_approved": False, "quality_notes": MARK}
        await do("POST", f"{step}/quality-check", check)

        link = f"/api/public/orders/{order['tracking_token']}"
        await do("PATCH", f"{link}/address", {"address": f"{MARK} 5", "recipient_name": MARK})
        await do("POST", f"{link}/comments", {"text": MARK, "customer_name": MARK})
        photo = AddPhoto(
            photo_id=1, file="1", photo_type="process", description=None, by="", now=utc_now()
        )
        metadata = Metadata(tenant=tenant_of(shop))
        await carry_out(installation.shop.deps, order["id"], photo, metadata)
        await installation.shop.caught_up()
        await do("POST", f"{link}/feedback", {"photo_id": 1, "feedback": "like", "comment": MARK})
        bought = await do(
            "POST",
            "/api/public/orders",
            {
                **PERSON,
                "shop_id": shop,
                "delivery_method": "delivery",
                "customer_name": MARK,
                "card_text": MARK,
                "delivery_time_text": MARK,
                "items": [{"product_id": product, "quantity": 1}],
            },
            headers={"Idempotency-Key": "k"},
        )
        short = {
            "customer_name": MARK,
            "customer_phone": f"8{PHONE}",
            "delivery_type": "delivery",
            "payment_method": "cash",
            "delivery_address": MARK,
            "delivery_time": MARK,
            "recipient_name": MARK,
            "card_text": MARK,
            "special_requests": MARK,
            "items": [{"product_id": product, "quantity": 1}],
        }
        await do("POST", f"/api/public/shops/{shop}/orders", short)
        path = f"/api/orders/{bought['id']}"
        await do("PATCH", f"{path}/issue", {"issue_type": "other", "comment": MARK})
        back = {"target_status": "new", "reason": MARK}
        await do("POST", f"{path}/rollback-status", back)
        await do("POST", f"{path}/cancel", {"cancellation_reason": MARK})
        image = {"file": (f"{MARK}.png", encoded("png"))}
        assert (await admin.post("/api/upload/image", files=image)).status_code == 201
        # What is refused, or only asked for.
        for query in (MARK, f"+7{PHONE}"):
            for where in ("customers", "orders"):
                await do("GET", f"/api/{where}/", None, params={"search": query})
        for body in ({"phone": MARK}, {"phone": f"8{PHONE}", "email": MARK}, {**one, "phone": "1"}):
            assert (await admin.post("/api/customers/", json=body)).status_code == 422
        wrong = {**PERSON, "delivery_method": MARK, "items": [{"product_id": 1, "quantity": MARK}]}
        assert (await admin.post("/api/orders/with-items", json=wrong)).status_code == 422
        await installation.react()


async def _columns_with_marks(url: str, schema: str) -> set[tuple[str, str]]:
    """The columns of a schema in which a customer is named."""
    database = await asyncpg.connect(url)
    try:
        return {
            (name, column)
            for table, name, column, is_binary in await database.fetch(COLUMNS, schema)
            for text in (f"encode({column}, 'escape')" if is_binary else f'"{column}"::text',)
            if await database.fetchval(
                f"SELECT true FROM {table} WHERE {text} LIKE ANY($1) LIMIT 1",
                [f"%{MARK}%", f"%{PHONE}%"],
            )
        }
    finally:
        await database.close()


async def _relayed(installation: Installation, bootstrap: str) -> list[bytes]:
    """What the relay sends of the whole log: heads, keys and contents of all messages."""
    kit = installation.shop
    prefix = f"t{uuid4().hex[:12]}"
    topics = [one for one in read_topics() if one.category.startswith("shop.")]
    await ensure_topics(bootstrap, prefix, topics)
    changes = {"kafka_bootstrap_servers": bootstrap, "topic_prefix": prefix}
    settings = kit.settings.model_copy(update=changes)
    expected = len(await kit.events())
    consumer = AIOKafkaConsumer(
        *(topic_name(prefix, one.category) for one in topics),
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
    )
    messages: list[bytes] = []
    async with (
        open_worker(
            settings, service="shop", projections=(), telemetry=kit.deps.telemetry
        ) as worker,
        running(worker.relay),
    ):
        await consumer.start()
        try:
            async for one in consumer:
                heads = b"".join(name.encode() + value for name, value in one.headers)
                messages.append(b"".join((one.key or b"", one.value or b"", heads)))
                if len(messages) == expected:
                    break
        finally:
            await consumer.stop()
    return messages
