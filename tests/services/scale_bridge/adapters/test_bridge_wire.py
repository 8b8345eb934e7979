"""Messages and catalogues come over the wire as they were sent, and nothing else does."""

import random
import zlib
from typing import get_type_hints
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scale_bridge.adapters import bridge_wire
from services.scale_bridge.adapters.bridge_wire import Misunderstood, Parts, compressed, parts_of
from services.scale_bridge.domain import bridge_message
from services.scale_bridge.domain.catalogue import LARGEST_BYTES, digest


@given(st.data(), st.sampled_from(bridge_message.MESSAGES))
def test_every_message_comes_as_it_went(data: st.DataObject, kind: type) -> None:
    # A number that is none has no spelling in JSON.
    numbers = st.floats(allow_nan=False, allow_infinity=False)
    of_numbers = {
        name: numbers if hint is float else st.none() | numbers
        for name, hint in get_type_hints(kind).items()
        if hint in (float, float | None)
    }
    message = data.draw(st.builds(kind, **of_numbers))

    assert bridge_wire.read(bridge_wire.written(message)) == message


@given(st.text())
def test_what_is_no_message_is_misunderstood(text: str) -> None:
    with pytest.raises(Misunderstood):
        bridge_wire.read(text)


def sent(size: int) -> tuple[bytes, list[bridge_message.Part]]:
    """A catalogue that does not shrink, and the parts it is sent in."""
    content = random.Random(1).randbytes(size)
    return content, list(parts_of(digest(content), compressed(content)))


@pytest.mark.parametrize(
    "size", [0, 1, bridge_message.PART_BYTES - 50, 3 * bridge_message.PART_BYTES]
)
def test_a_catalogue_is_put_together_from_its_parts(size: int) -> None:
    content, several = sent(size)
    parts = Parts()

    assert [parts.take(part) for part in several] == [None] * (len(several) - 1) + [content]
    assert max(len(bridge_wire.written(part)) for part in several) < 200_000


def test_a_catalogue_that_broke_off_can_be_begun_again() -> None:
    content, several = sent(2 * bridge_message.PART_BYTES)
    parts = Parts()
    parts.take(several[0])

    assert [parts.take(part) for part in several][-1] == content


@pytest.mark.parametrize("order", [[1], [0, 2]], ids=["no first", "one left out"])
def test_parts_out_of_order_are_misunderstood(order: list[int]) -> None:
    _, several = sent(2 * bridge_message.PART_BYTES)
    *taken, bad = order
    parts = Parts()
    for number in taken:
        parts.take(several[number])

    with pytest.raises(Misunderstood):
        parts.take(several[bad])


@pytest.mark.parametrize(
    "packed",
    [b"", b"no zlib", compressed(b"another"), compressed(b"right")[:-1]],
    ids=["nothing", "junk", "another", "half"],
)
def test_what_has_another_hash_is_not_taken(packed: bytes) -> None:
    with pytest.raises(Misunderstood):
        Parts().take(bridge_message.Part(md5=digest(b"right"), number=0, of=1, data=packed))


def test_a_bomb_is_not_unpacked() -> None:
    bomb = zlib.compress(bytes(LARGEST_BYTES + 1), 9)
    with pytest.raises(Misunderstood):
        Parts().take(bridge_message.Part(md5="x", number=0, of=1, data=bomb))


def test_the_wire_stays_as_it_is() -> None:
    """Daemons in shops are older than the service: these texts are an agreement."""
    operation_id = uuid4()
    work = bridge_message.Work(
        operation_id=operation_id,
        device_id=operation_id,
        kind="fetch",
        full=False,
        address="10.0.0.9",
        port=1111,
        password=b"sealed",
        seconds_left=9.5,
    )
    assert bridge_wire.written(work) == (
        f'{{"v":1,"type":"Work","data":{{"operation_id":"{operation_id}","device_id":'
        f'"{operation_id}","kind":"fetch","full":false,"address":"10.0.0.9","port":1111,'
        '"password":"c2VhbGVk","seconds_left":9.5,"catalogue":null,"known":null,'
        '"diagnose":false,"strictness":{"chunks":true,"hash":true,"unique_keys":true,'
        '"finite_numbers":true,"unique_plus":true}}}'
    )
    old = f'{{"v":1,"type":"Reported","data":{{"operation_id":"{operation_id}","number":1,'
    old += '"report":{"stage":"began","attempt":2},"seconds_ago":0.5,"news":"of later versions"}}'
    assert bridge_wire.read(old) == bridge_message.Reported(
        operation_id=operation_id,
        number=1,
        report=bridge_message.Report(stage=bridge_message.Stage.BEGAN, attempt=2),
        seconds_ago=0.5,
    )
