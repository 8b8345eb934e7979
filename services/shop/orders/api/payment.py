"""What payment providers report, signed with a secret of the installation (S7, C18)."""

import hashlib
import hmac
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Request
from pydantic import BaseModel

from libs.errors import BadRequest, Forbidden
from libs.eventsourcing.log import Metadata
from libs.http.auth import public
from libs.http.visible import visible
from libs.telemetry.traces import current_traceparent
from services.shop.context import ApiContext, PathId, Shop, authorship
from services.shop.orders.api.bodies import Payment
from services.shop.orders.domain.commands import ReceivePayment
from services.shop.orders.domain.order import OrderUnknown
from services.shop.orders.handlers.execution import carry_out
from services.shop.orders.read_models import queries

router = APIRouter(tags=["payments"])

PROVIDER: Final = "payment provider"
"""The actor of payments."""


class BadSignature(Forbidden):
    """Подпись платёжного уведомления неверна"""


class PaymentFailed(BadRequest):
    """Платёж не прошёл"""


class Received(BaseModel):
    """What became of a payment."""

    status: str = "success"
    order_id: int
    payment_status: str = "paid"
    order_status: str


@router.post(
    "/api/orders/{order_id}/payment-webhook",
    dependencies=[Depends(public), visible("orders", "customer")],
)
async def receive(
    shop: Shop,
    request: Request,
    order_id: PathId,
    body: Payment,
    signature: Annotated[str, Header(alias="X-Signature", max_length=200)] = "",
) -> Received:
    """Record a payment of the whole sum, once for each `payment_id`.

    `X-Signature` is the hexadecimal HMAC-SHA256 of `<order id>.<body>`; 403 if it is wrong.
    """
    await _check(shop, request, order_id, signature)
    if body.status != "success":
        raise PaymentFailed
    located = await queries.locate(shop.system, order_id=order_id)
    if located is None:
        raise OrderUnknown
    metadata = Metadata(
        tenant=located[0],
        actor=PROVIDER,
        correlation_id=request.scope["request_id"],
        traceparent=current_traceparent(),
    )
    payment = {name: getattr(body, name) for name in ("payment_id", "payment_method", "amount")}
    command = ReceivePayment(**payment, **authorship(shop, metadata))
    order = await carry_out(shop, order_id, command, metadata)
    return Received(order_id=order_id, order_status=order.status)


async def _check(shop: ApiContext, request: Request, order_id: int, signature: str) -> None:
    secret = shop.settings.payment_secret
    if secret is None:
        raise BadSignature
    signed = f"{order_id}.".encode() + await request.body()
    expected = hmac.new(secret.get_secret_value().encode(), signed, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
        raise BadSignature
