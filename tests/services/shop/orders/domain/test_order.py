"""The states of an order, and what each move does to money and stock (spec shop §5, C4, C17)."""

from collections import Counter
from dataclasses import dataclass, field
from functools import reduce
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.shop import OrderPaymentReceived, OrderStatusChanged
from libs.errors import Refused
from libs.eventsourcing.testing import Scenario
from services.shop.orders.domain.commands import (
    AddComment,
    ChangeAddress,
    ChangeComment,
    EditOrder,
    OrderCommand,
    RatePhoto,
    ReceivePayment,
)
from services.shop.orders.domain.decisions import (
    ORDER,
    AddressIsFixed,
    AlreadyPaid,
    CannotCancel,
    CommentUnknown,
    LinesAreFixed,
    MoveNotAllowed,
    NotPayable,
    NotPositive,
    OrderItemUnknown,
    PhotoUnknown,
    RollbackNotAllowed,
    WrongAmount,
)
from services.shop.orders.domain.order import Order, OrderUnknown, Step, stock_steps
from services.shop.orders.domain.status import (
    BACK,
    IN_SHOP,
    Method,
    Status,
    Stock,
)
from services.shop.stock.domain.commands import Release, Reserve, WriteOff
from tests.services.shop.orders.orders import (
    DETAILS,
    NOON,
    add,
    at,
    cancel,
    change,
    history,
    line,
    move,
    place,
    placed,
    report,
    roll_back,
)

DELIVERED: dict[Status, set[Status]] = {
    Status.NEW: {Status.PAID, Status.ISSUE},
    Status.PAID: {Status.ASSEMBLED, Status.ISSUE},
    Status.ASSEMBLED: {Status.DELIVERY, Status.ISSUE},
    Status.DELIVERY: {Status.DELIVERED, Status.COMPLETED, Status.ISSUE},
    Status.DELIVERED: {Status.COMPLETED, Status.ISSUE},
    Status.COMPLETED: set(),
    Status.ISSUE: set(),
}


def carried_out(order: Order, command: OrderCommand) -> Order:
    """The order after a command."""
    return reduce(ORDER.evolve, ORDER.decide(order, command), order)


@pytest.mark.parametrize(("before", "after"), [*product(DELIVERED, Status)])
def test_a_delivered_order_moves_along_the_table_only(before: Status, after: Status) -> None:
    decision = Scenario(ORDER).given(*at(before)).when(move(after))

    if after == before:
        decision.then()
    elif after in DELIVERED[before]:
        decision.then(
            OrderStatusChanged(
                order_id=1,
                old_status=before,
                new_status=after,
                comment=None,
                changed_by=move(after).by,
                changed_at=NOON,
            )
        )
    else:
        decision.then_refused(MoveNotAllowed)


def test_a_collected_order_is_never_on_delivery() -> None:
    assembled = at(Status.ASSEMBLED, Method.SELF_PICKUP)

    with pytest.raises(MoveNotAllowed, match=r"Разрешены: self_pickup, issue$"):
        ORDER.decide(ORDER.state_after(assembled), move(Status.DELIVERY))
    state = ORDER.state_after(at(Status.COMPLETED, Method.SELF_PICKUP))
    assert (state.status, state.stock) == (Status.COMPLETED, Stock.WRITTEN_OFF)


@pytest.mark.parametrize(("before", "after"), [*product(DELIVERED, Status)])
def test_a_rollback_goes_back_along_the_table_only(before: Status, after: Status) -> None:
    reached = ORDER.state_after(at(before))

    if after in BACK.get(before, ()) and after != Status.SELF_PICKUP:
        state = carried_out(reached, roll_back(after))
        assert (state.status, state.issue_type) == (after, None)
    else:
        with pytest.raises(RollbackNotAllowed):
            ORDER.decide(reached, roll_back(after))


@pytest.mark.parametrize("status", [*DELIVERED])
def test_an_order_is_cancelled_only_before_it_leaves_the_shop(status: Status) -> None:
    reached = ORDER.state_after(at(status))

    if status in IN_SHOP:
        state = carried_out(reached, cancel())
        issue = state.status, state.stock, state.issue_type
        assert issue == (Status.ISSUE, Stock.NONE, "other")
    else:
        with pytest.raises(CannotCancel):
            ORDER.decide(reached, cancel())


def test_the_total_is_that_of_lines_and_delivery() -> None:
    state = ORDER.state_after([placed(line(quantity=2), line(12, quantity=1))])

    assert (state.flower_sum, state.total) == (45000, 46500)


def test_a_quantity_below_one_is_refused() -> None:
    for quantity in (0, -1):
        Scenario(ORDER).when(place(line(quantity=quantity))).then_refused(NotPositive)
        added = add(line(12, quantity=quantity))
        Scenario(ORDER).given(placed()).when(added).then_refused(NotPositive)
    Scenario(ORDER).given(placed()).when(change(11, -1)).then_refused(NotPositive)


def test_an_order_that_was_never_placed_is_unknown() -> None:
    Scenario(ORDER).when(move(Status.PAID)).then_refused(OrderUnknown)


def test_placing_the_same_order_again_changes_nothing() -> None:
    Scenario(ORDER).given(placed()).when(place(line(quantity=9))).then()


def test_lines_are_fixed_once_the_order_left_the_shop() -> None:
    for command in (add(line(12)), change(11, 1), change(11, 0)):
        Scenario(ORDER).given(*at(Status.DELIVERY)).when(command).then_refused(LinesAreFixed)


def test_a_line_is_changed_or_removed_with_its_needs_and_another_one_is_unknown() -> None:
    state = ORDER.state_after(history(place(), add(line(12, quantity=1)), change(11, 3)))

    assert [(one.item_id, one.quantity) for one in state.lines] == [(11, 3), (12, 1)]
    assert (state.needs(), state.flower_sum) == ({5: 60}, 60000)
    assert carried_out(state, change(11, 0)).needs() == {5: 15}
    Scenario(ORDER).given(placed()).when(change(12, 1)).then_refused(OrderItemUnknown)
    Scenario(ORDER).given(placed()).when(change(11, 2)).then()


def test_an_edit_replaces_what_it_names_of_the_present_details() -> None:
    edits = [EditOrder(changes={name: "1"}, by="", now=NOON) for name in ("address", "card_text")]
    state = ORDER.state_after(history(place(), *edits))

    assert (state.placed.address, state.placed.card_text) == ("1", "1")
    Scenario(ORDER).given(placed()).when(EditOrder(changes={}, by="", now=NOON)).then()


def payment(amount: int = 31500, payment_id: str = "k-1") -> ReceivePayment:
    return ReceivePayment(
        payment_id=payment_id, payment_method="kaspi", amount=amount, by="", now=NOON
    )


def test_a_payment_of_the_whole_sum_pays_the_order_once() -> None:
    paid = history(place(), payment())
    state = ORDER.state_after(paid)

    assert isinstance(paid[-1], OrderPaymentReceived)
    assert (state.status, state.placed.payment_date) == (Status.PAID, NOON)
    assert state.placed.payment_method == "kaspi"
    Scenario(ORDER).given(*paid).when(payment()).then()
    Scenario(ORDER).given(*paid).when(payment(payment_id="k-2")).then_refused(AlreadyPaid)


def test_another_amount_or_an_ended_order_takes_no_payment() -> None:
    Scenario(ORDER).given(placed()).when(payment(31499)).then_refused(WrongAmount)
    for ended in (Status.COMPLETED, Status.ISSUE):
        Scenario(ORDER).given(*at(ended)).when(payment()).then_refused(NotPayable)


def test_an_order_that_staff_marked_as_paid_has_a_date_until_it_is_rolled_back() -> None:
    paid = at(Status.PAID)
    back = history(place(), move(Status.PAID), roll_back(Status.NEW))

    assert ORDER.state_after(paid).placed.payment_date == NOON
    assert ORDER.state_after(back).placed.payment_date is None


def test_the_customer_changes_the_address_before_the_order_is_made_only() -> None:
    moved = ChangeAddress(changes={"address": "sealed"}, by="customer", now=NOON)
    for status in (Status.NEW, Status.PAID):
        state = carried_out(ORDER.state_after(at(status)), moved)
        assert state.placed.address == "sealed"

    Scenario(ORDER).given(*at(Status.ASSEMBLED)).when(moved).then_refused(AddressIsFixed)


def test_a_comment_is_changed_until_it_is_removed() -> None:
    text = DETAILS.customer_phone
    added = AddComment(comment_id=4, text=text, author=None, customer_name=None, by="", now=NOON)
    remove = ChangeComment(comment_id=4, text=None, by="a", now=NOON)
    removed = history(place(), added, remove)

    Scenario(ORDER).given(*removed).when(remove).then_refused(CommentUnknown)
    Scenario(ORDER).given(placed()).when(remove).then_refused(CommentUnknown)


def test_only_a_photo_of_the_order_is_rated() -> None:
    rate = RatePhoto(photo_id=6, feedback="like", comment=None, by="", now=NOON)

    Scenario(ORDER).given(placed()).when(rate).then_refused(PhotoUnknown)


COMMANDS = st.lists(
    st.one_of(
        st.sampled_from(Status).map(move),
        st.sampled_from(Status).map(roll_back),
        st.just(cancel()),
        st.just(report()),
        st.builds(
            lambda **given: add(line(**given)),
            item_id=st.integers(12, 14),
            quantity=st.integers(1, 3),
            stems=st.integers(0, 4),
            item=st.integers(5, 7),
        ),
        st.builds(change, st.integers(11, 14), st.integers(0, 3)),
    ),
    max_size=12,
)


@dataclass
class Ledger:
    """The stock that the steps of an order leave behind, by warehouse item."""

    reserved: Counter[int] = field(default_factory=Counter)
    gone: Counter[int] = field(default_factory=Counter)

    def carry_out(self, step: Step, before: Order, after: Order) -> None:
        if step is Reserve:
            self.reserved.update(after.needs())
        elif step is Release:
            self.reserved.subtract(before.needs())
        elif step is WriteOff:
            self.reserved.subtract(after.needs())
            self.gone.update(after.needs())
        else:
            self.gone.subtract(after.needs())
            self.reserved.update(after.needs())


@given(commands=COMMANDS, method=st.sampled_from(Method))
def test_whatever_is_done_the_steps_leave_the_stock_that_the_state_names(
    commands: list[OrderCommand], method: Method
) -> None:
    ledger, order = Ledger(), Order()
    for command in (place(method=method), *commands):
        before = order
        try:
            order = carried_out(before, command)
        except Refused:
            continue
        for step in stock_steps(before, order):
            ledger.carry_out(step, before, order)

        held = Counter(order.needs())
        assert +ledger.reserved == (held if order.stock == Stock.RESERVED else Counter())
        assert +ledger.gone == (held if order.stock == Stock.WRITTEN_OFF else Counter())
        assert min([*ledger.reserved.values(), *ledger.gone.values()], default=0) >= 0
        assert order.total == sum(one.price * one.quantity for one in order.lines) + 1500
