"""Appends the records of the former system, each once: a claim holds its former id.

A record and its claim are one append, so a run that was interrupted can be repeated: it continues
with what is missing. Records keep their order: the newer one has the greater number.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, tzinfo
from typing import Any, Final

import msgspec

from contracts.claims import KeyClaimed
from contracts.shop import (
    BatchReceived,
    ComponentsChanged,
    CustomerRegistered,
    IngredientsChanged,
    Level,
    OrderCommentAdded,
    OrderDetails,
    OrderIssueReported,
    OrderLine,
    OrderPlaced,
    OrderStatusChanged,
    ProductAdded,
    ProductImagesChanged,
)
from libs.eventsourcing.claims import CLAIM, ClaimKey, Taken, claim_id, owner_of
from libs.eventsourcing.execute_many import Aggregate, States, execute_many
from libs.eventsourcing.log import Metadata
from libs.names import comparable
from libs.postgres.sequences import Sequence as Numbers
from libs.security.data_keys import DataKey, Subject
from services.shop.context import IMPORT, Context
from services.shop.customers.domain import person as people
from services.shop.customers.domain.customer import CUSTOMER
from services.shop.imports import domain
from services.shop.imports.adapters import Tables
from services.shop.imports.domain import BadRow, FormerOrder, Move, Values
from services.shop.orders.domain.contact import subject_id as order_subject
from services.shop.orders.domain.decisions import ORDER
from services.shop.orders.domain.status import Status
from services.shop.orders.handlers.order import new_number, new_token
from services.shop.products.domain import PRODUCT
from services.shop.stock.domain.decisions import STOCK
from services.shop.stock.domain.stock import stock_id_of

AT_ONCE: Final = 16
"""Records that are appended at the same time; the log commits them in groups."""
NEEDED: Final = ("customers", "products", "warehouse_items", "orders")
PARTS: Final = {
    "customer_addresses": "customer_id",
    "customer_important_dates": "customer_id",
    "product_images": "product_id",
    "product_ingredients": "product_id",
    "product_components": "product_id",
    "order_items": "order_id",
    "order_history": "order_id",
    "comments": "order_id",
}
"""Tables whose rows are parts of a record, and the column with its id."""


@dataclass(kw_only=True, slots=True)
class Account:
    """What became of the rows of a table: `imported`, `known` from an earlier run, `existing` in
    the shop under the same phone or sku, `rejected`, of another shop, a `part` of a record.
    """

    rows: Counter[str] = field(default_factory=Counter)
    rejects: list[tuple[str, str]] = field(default_factory=list)
    """The former ids of rejected rows, and why."""

    def reject(self, number: str, reason: str) -> None:
        """Count a rejected row."""
        self.rows["rejected"] += 1
        self.rejects.append((number, reason))


class Import:
    """One run into the shop of `metadata`, of the rows of the former shop `of`."""

    def __init__(
        self, context: Context, tables: Tables, metadata: Metadata, *, of: int, zone: tzinfo
    ) -> None:
        self._context = context
        self._tables = tables
        self._metadata = metadata
        self._of = str(of)
        self._zone = zone
        self._parts = self._group_parts()
        self._ids: dict[str, Mapping[str, int]] = {}
        self.accounts: dict[str, Account] = defaultdict(Account)

    async def run(self, on_progress: Callable[[str, int], object] = lambda *_: None) -> None:
        """Import everything. `on_progress` is given the table and the number of its rows done.

        Raises Unavailable, LogUnavailable: then a part is imported; run it again.
        """
        for table, sequence, record in (
            ("warehouse_items", "warehouse_item_ids", self._batch),
            ("products", "product_number", self._product),
            ("customers", "customer_number", self._customer),
            ("orders", "order_number", self._order),
        ):
            self._ids[table] = await self._all(table, sequence, record, on_progress)
        for name, rows in self._tables.items():
            if name not in NEEDED:
                self.accounts[name].rows["part" if name in PARTS else "left out"] = len(rows)

    def _group_parts(self) -> Mapping[tuple[str, str], list[Values]]:
        parts: dict[tuple[str, str], list[Values]] = defaultdict(list)
        for name, column in PARTS.items():
            for row in self._tables.get(name, ()):
                parts[name, row.get(column) or ""].append(Values(row, self._zone))
        return parts

    def _rows(self, table: str) -> list[Values]:
        """The rows of the former shop by id. Warehouse items had no shop."""
        rows = []
        for row in self._tables.get(table, ()):
            if row.get("shop_id") not in (None, self._of):
                self.accounts[table].rows["of another shop"] += 1
                continue
            rows.append(Values(row, self._zone))
        return sorted(rows, key=_number)

    async def _all(
        self,
        table: str,
        sequence: str,
        record: Callable[[int, str, Values], Awaitable[str]],
        on_progress: Callable[[str, int], object],
    ) -> Mapping[str, int]:
        """Import the rows of a table that are not known; their new numbers by the former ones."""
        known, rows = await self._known(table), self._rows(table)
        new = [one for one in rows if one.text("id") not in known]
        self.accounts[table].rows["known"] = len(rows) - len(new)
        numbers = await Numbers(sequence).several(self._context.system, len(new))
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(number: int, values: Values) -> None:
            former = values.text("id") or ""
            async with gate:
                try:
                    self.accounts[table].rows[await record(number, former, values)] += 1
                except BadRow as bad:
                    self.accounts[table].reject(former, str(bad))
                except Taken:
                    # Another run imported it meanwhile.
                    self.accounts[table].rows["known"] += 1
                on_progress(table, 1)

        async with asyncio.TaskGroup() as group:
            for number, values in zip(numbers, new, strict=True):
                group.create_task(one(number, values))
        return await self._known(table)

    async def _known(self, table: str) -> Mapping[str, int]:
        """The numbers of the records of a table that the log has, by their former ids."""
        streams = {
            CLAIM.stream(self._claim(table, former)): former
            for row in self._tables.get(table, ())
            if (former := row.get("id"))
        }
        known: dict[str, int] = {}
        store = self._context.store
        names = [*streams]
        for first in range(0, len(names), 500):
            part = dict.fromkeys(names[first : first + 500], 0)
            for event in await store.log.read_streams(self._metadata.tenant, part):
                claimed = store.decode(event)
                if isinstance(claimed, KeyClaimed):
                    known[streams[event.stream]] = int(claimed.owner)
        return known

    def _claim(self, table: str, former: str) -> str:
        return claim_id("import", f"{self._of} {table} {former}")

    async def _append(
        self,
        claim: str,
        number: int,
        record: tuple[Aggregate, Sequence[Any]] | None,
        *keys: str,
        owner: str | None = None,
    ) -> str:
        """Append the events of a record with its claim, and with the claims of its unique keys."""
        owner = str(number) if owner is None else owner
        claims = {claim: owner} | {key: str(number) for key in keys}
        aggregates: list[Aggregate] = [(CLAIM, one) for one in claims]
        own: Mapping[str, Sequence[Any]] = {}
        if record is not None:
            (decider, key), events = record
            aggregates.append((decider, key))
            own = {decider.stream(key): events}

        def decide(states: States) -> Mapping[str, Sequence[Any]]:
            new: dict[str, Sequence[Any]] = {
                CLAIM.stream(one): CLAIM.decide(states.of(CLAIM, one), ClaimKey(of))
                for one, of in claims.items()
            }
            return {**new, **own}

        await execute_many(self._context.store, aggregates, decide, metadata=self._metadata)
        return "imported"

    async def _batch(self, number: int, former: str, values: Values) -> str:
        batch, quantity = domain.batch(values, number)
        stock_id = stock_id_of(batch.variety, batch.height_cm)
        received = BatchReceived(
            stock_id=stock_id,
            batch=batch,
            after=Level(quantity=quantity, reserved=0, revision=1),
            reference_type="manual",
            reference_id=None,
            received_by=IMPORT,
            received_at=batch.created_at,
        )
        sku = claim_id("sku", comparable(batch.sku))
        try:
            claim = self._claim("warehouse_items", former)
            return await self._append(claim, number, ((STOCK, stock_id), [received]), sku)
        except Taken:
            raise BadRow("sku: taken") from None

    async def _product(self, number: int, former: str, values: Values) -> str:
        parts = (
            self._parts["product_images", former],
            self._parts["product_ingredients", former],
            self._parts["product_components", former],
        )
        one = domain.product(values, *parts, self._ids["warehouse_items"])
        at = values.created()
        by: dict[str, Any] = {"changed_by": IMPORT, "changed_at": at, "product_id": number}
        events: list[Any] = [
            ProductAdded(product_id=number, details=one.details, added_by=IMPORT, added_at=at)
        ]
        if one.images:
            events.append(ProductImagesChanged(images=one.images, **by))
        if one.ingredients:
            events.append(IngredientsChanged(ingredients=one.ingredients, **by))
        if one.components:
            events.append(ComponentsChanged(components=one.components, **by))
        return await self._append(
            self._claim("products", former), number, ((PRODUCT, number), events)
        )

    async def _customer(self, number: int, former: str, values: Values) -> str:
        addresses = self._parts["customer_addresses", former]
        dates = self._parts["customer_important_dates", former]
        ids = await Numbers("customer_entry").several(
            self._context.system, len(addresses) + len(dates)
        )
        person = domain.person(
            values,
            [*zip(ids, addresses, strict=False)],
            [*zip(ids[len(addresses) :], dates, strict=True)],
        )
        return await self._register(
            person,
            values.text("source"),
            values.created(),
            number,
            self._claim("customers", former),
        )

    async def _register(
        self, person: people.Person, source: str | None, at: datetime, number: int, claim: str
    ) -> str:
        """Register a customer; one with this phone is the same person, whose record stays."""
        phone = claim_id("phone", person.phone, digest=self._context.settings.seal().digest)
        subject = Subject(self._metadata.tenant, people.subject_id(number))
        text = msgspec.json.encode(person).decode()
        registered = CustomerRegistered(
            customer_id=number,
            person=await self._context.vault.seal(subject, text, is_new=True),
            source=source,
            registered_by=IMPORT,
            registered_at=at,
        )
        try:
            return await self._append(claim, number, ((CUSTOMER, number), [registered]), phone)
        except Taken:
            owner = await owner_of(self._context.store, self._metadata.tenant, phone)
            await self._append(claim, number, None, owner=owner)
            return "existing"

    async def _order(self, number: int, former: str, values: Values) -> str:
        one = domain.order(values, self._parts["order_history", former], self._zone)
        customer = self._ids["customers"].get(values.text("customer_id") or "")
        if customer is None:
            customer = await self._customer_of(one)
        subject = Subject(self._metadata.tenant, order_subject(number))
        key = await self._context.vault.key_for(subject, is_new=True)
        contact: dict[str, Any] = {
            name: key.seal(text or None) for name, text in asdict(one.contact).items()
        }
        placed = OrderPlaced(
            order_id=number,
            customer_id=customer,
            number=one.number or new_number(),
            tracking_token=new_token(),
            details=OrderDetails(**contact, **one.details),
            lines=await self._lines(former),
            flower_sum=one.flower_sum,
            delivery_fee=one.delivery_fee,
            source=one.source,
            placed_by=IMPORT,
            placed_at=one.placed_at,
        )
        moves = [_moved(number, move, one, key) for move in one.moves]
        events = [placed, *moves, *(await self._comments(number, former, key))]
        try:
            return await self._append(
                self._claim("orders", former),
                number,
                ((ORDER, number), events),
                claim_id("order-number", placed.number),
            )
        except Taken:
            raise BadRow("tracking_token: the number is another order's") from None

    async def _lines(self, former: str) -> tuple[OrderLine, ...]:
        rows = self._parts["order_items", former]
        item_ids = await Numbers("order_item_number").several(self._context.system, len(rows))
        return tuple(
            OrderLine(
                item_id=item_id,
                product_id=self._ids["products"].get(row.text("product_id") or "", 0),
                product_name=row.required("product_name"),
                product_category=row.required("product_category"),
                quantity=row.integer("quantity"),
                price=row.tenge("price"),
            )
            for item_id, row in zip(item_ids, rows, strict=True)
        )

    async def _customer_of(self, one: FormerOrder) -> int:
        """The customer with the phone of an order that names none."""
        former = f"of {one.contact.customer_phone}"
        person = people.Person(phone=one.contact.customer_phone)
        digest = self._context.settings.seal().digest
        phone = claim_id("phone", person.phone, digest=digest)
        if (owner := await owner_of(self._context.store, self._metadata.tenant, phone)) is None:
            number = await Numbers("customer_number").next(self._context.system)
            claim = claim_id("import", f"{self._of} {former}", digest=digest)
            await self._register(person, one.source, one.placed_at, number, claim)
            owner = await owner_of(self._context.store, self._metadata.tenant, phone)
        return int(owner or 0)

    async def _comments(self, number: int, former: str, key: DataKey) -> list[OrderCommentAdded]:
        rows = sorted(self._parts["comments", former], key=_number)
        ids = await Numbers("order_comment_number").several(self._context.system, len(rows))
        return [
            OrderCommentAdded(
                order_id=number,
                comment_id=comment_id,
                text=key.seal(row.required("text")),
                author=None if row.text("author_type") == "customer" else IMPORT,
                customer_name=key.seal(name) if (name := row.text("customer_name")) else None,
                added_at=row.created(),
            )
            for comment_id, row in zip(ids, rows, strict=True)
        ]


def _moved(
    number: int, move: Move, one: FormerOrder, key: DataKey
) -> OrderStatusChanged | OrderIssueReported:
    comment = key.seal(move.comment) if move.comment else None
    if move.new == Status.ISSUE:
        return OrderIssueReported(
            order_id=number,
            old_status=move.old,
            issue_type=one.issue_type or "other",
            comment=comment,
            reported_by=IMPORT,
            reported_at=move.at,
        )
    return OrderStatusChanged(
        order_id=number,
        old_status=move.old,
        new_status=move.new,
        comment=comment,
        changed_by=IMPORT,
        changed_at=move.at,
    )


def _number(values: Values) -> int:
    text = values.text("id") or ""
    return int(text) if text.isdecimal() else 0
