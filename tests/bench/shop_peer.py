"""A flower shop's orders as a plain FastAPI + SQLAlchemy service: row locks on the stock.

A request locks its stock rows in the order of their ids, checks and reserves, and writes the order
with its lines and its history, all in one transaction.

Served by granian: `granian --interface asgi --factory tests.bench.shop_peer:create_app`, with
`DATABASE_URL` (postgresql+asyncpg://…) and `API_KEY` in the environment.
"""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import BigInteger, DateTime, ForeignKey, String, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from tests.bench.peer import check_key, open_session


class Base(DeclarativeBase):
    """What the tables belong to."""


class Customer(Base):
    """A customer, by phone."""

    __tablename__ = "customers"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    phone: Mapped[str] = mapped_column(String(20), unique=True)
    orders_count: Mapped[int] = mapped_column(default=0)
    total_spent: Mapped[int] = mapped_column(BigInteger, default=0)


class StockRow(Base):
    """A batch in stock."""

    __tablename__ = "warehouse_items"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    qty: Mapped[int] = mapped_column(BigInteger)
    reserved_qty: Mapped[int] = mapped_column(BigInteger, default=0)


class Product(Base):
    """A product that takes one stem of one batch."""

    __tablename__ = "products"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    price: Mapped[int] = mapped_column(BigInteger)
    warehouse_item_id: Mapped[int] = mapped_column(ForeignKey("warehouse_items.id"))


class OrderRow(Base):
    """An order."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"))
    status: Mapped[str] = mapped_column(String(20), default="new", index=True)
    tracking_token: Mapped[str] = mapped_column(String(40), unique=True)
    total: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
    items: Mapped[list["OrderItem"]] = relationship()
    history: Mapped[list["History"]] = relationship()


class OrderItem(Base):
    """A line of an order."""

    __tablename__ = "order_items"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"))
    product_name: Mapped[str] = mapped_column(String(100))
    quantity: Mapped[int]
    price: Mapped[int] = mapped_column(BigInteger)


class History(Base):
    """What happened to an order."""

    __tablename__ = "order_history"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    event_type: Mapped[str] = mapped_column(String(30))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


FILL = """
INSERT INTO warehouse_items (id, qty, reserved_qty)
SELECT n, 1000000000, 0 FROM generate_series(1, {items}) AS n;
INSERT INTO products (id, name, price, warehouse_item_id)
SELECT n, 'Product ' || n, 1000, n FROM generate_series(1, {items}) AS n;
"""
"""Products with the numbers from 1, each of a batch of its own that is never used up."""


class ItemIn(BaseModel):
    """A line of a new order."""

    product_id: int
    quantity: int = Field(ge=1)


class OrderIn(BaseModel):
    """A new order."""

    customer_phone: str = Field(max_length=20)
    delivery_method: str
    items: list[ItemIn] = Field(min_length=1)


class ItemOut(ItemIn):
    """A line of an order."""

    id: int
    product_name: str
    price: int


class OrderOut(BaseModel):
    """An order."""

    id: int
    status: str
    tracking_token: str
    total: int
    created_at: datetime
    items: list[ItemOut]


Session = Annotated[AsyncSession, Depends(open_session)]
router = APIRouter(prefix="/api", dependencies=[Depends(check_key)])


@router.post("/orders/with-items", status_code=201)
async def place(body: OrderIn, session: Session) -> OrderOut:
    """Reserve the stock and place the order: 409 if there is not enough."""
    wanted = {item.product_id: item.quantity for item in body.items}
    found = await session.scalars(select(Product).where(Product.id.in_(wanted)))
    products = {one.id: one for one in found}
    if len(products) < len(wanted):
        raise HTTPException(404, "unknown product")
    needs = {one.warehouse_item_id: wanted[one.id] for one in products.values()}
    total = sum(one.price * wanted[one.id] for one in products.values())
    locked = select(StockRow).where(StockRow.id.in_(needs)).order_by(StockRow.id)
    for row in await session.scalars(locked.with_for_update()):
        if row.qty - row.reserved_qty < needs[row.id]:
            raise HTTPException(409, "not enough in stock")
        row.reserved_qty += needs[row.id]
    order = OrderRow(
        customer_id=await _customer(session, body.customer_phone, total),
        status="new",
        tracking_token=secrets.token_urlsafe(24),
        total=total,
        created_at=datetime.now(UTC),
        items=[
            OrderItem(
                product_id=one.id,
                product_name=one.name,
                quantity=wanted[one.id],
                price=one.price,
            )
            for one in products.values()
        ],
        history=[History(event_type="created", created_at=datetime.now(UTC))],
    )
    session.add(order)
    await session.commit()
    return OrderOut.model_validate(order, from_attributes=True)


async def _customer(session: AsyncSession, phone: str, total: int) -> int:
    new = insert(Customer).values(phone=phone, orders_count=1, total_spent=total)
    counted: dict[str, Any] = {
        "orders_count": Customer.orders_count + 1,
        "total_spent": Customer.total_spent + func.coalesce(new.excluded.total_spent, 0),
    }
    upsert = new.on_conflict_do_update(index_elements=[Customer.phone], set_=counted)
    number: int | None = await session.scalar(upsert.returning(Customer.id))
    if number is None:
        raise HTTPException(500)
    return number


def create_app() -> FastAPI:
    """The service."""
    app = FastAPI(title="Flower shop", lifespan=_lifespan)
    app.include_router(router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=20, max_overflow=10)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    app.state.api_key = os.environ["API_KEY"]
    yield
    await engine.dispose()
