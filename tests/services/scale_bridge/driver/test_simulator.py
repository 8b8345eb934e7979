"""Frames are, byte for byte, those that were recorded; the simulated scale answers byte by byte as
§4 and §6 say, keeps its goods (R25), and sees when operations meet (R1) but no password (R18)."""

import asyncio
import json
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any, Literal

import pytest

from libs.testing.polling import eventually
from services.scale_bridge.driver.adapters.wire import (
    NotAPacket,
    Step,
    framed,
    packet,
    read_request,
)
from services.scale_bridge.driver.simulator.faults import KINDS, BadFault, Faults, parse_fault
from services.scale_bridge.driver.simulator.goods import catalogue
from services.scale_bridge.driver.simulator.products import ProductBase, merge, open_base
from services.scale_bridge.driver.simulator.scale import Options
from services.scale_bridge.driver.simulator.server import Simulator, open_simulator
from tests.services.scale_bridge.at_hand import a_scale, priced, prices

GOLDEN = {
    Step.CREATE: "08000000 0206FF14 31323334",
    Step.CREATED: "08000000 0206FF15 31323334",
    Step.HASH: "09000000 0207FF12 31323334 06",
    Step.HASHED: "09000000 0207FF12 31323334 07",
    Step.CHUNK: "09000000 0207FF12 31323334 03",
    Step.ANNOUNCE: "24000000 0222FF13 31323334 02 F87ABC43805C946505E9F1F64D04CD21"
    "04 000000000000000F 01 00",
    Step.SEND: "1F000000 021DFF13 31323334 03 01 00000000 0F00 7B2270726F6475637473223A5B5D7D",
    Step.CHECK: "09000000 0207FF13 31323334 09",
    Step.INFO: "04000000 0202FF17",
}


@pytest.mark.parametrize(("step", "frame"), GOLDEN.items(), ids=[step.name for step in GOLDEN])
def test_a_recorded_request_is_understood_and_would_be_written_so_again(
    step: Step, frame: str
) -> None:
    whole = bytes.fromhex(frame)

    request = read_request(whole[4:])

    assert request.step is step
    assert request.password == (b"" if step is Step.INFO else b"1234")
    assert framed(packet(request.code, whole[8:])) == whole


def test_a_good_reply_is_written_as_recorded_and_its_length_byte_ends_at_255() -> None:
    assert framed(packet(0x14, b"\0")) == bytes.fromhex("05000000 0203FF1400")
    assert framed(packet(0x13, bytes(4))) == bytes.fromhex("08000000 0206FF1300000000")
    lengths = [packet(0x12, bytes(size))[1] for size in (252, 253, 60_000)]
    assert lengths == [254, 0xFF, 0xFF]


@pytest.mark.parametrize(
    "body", ["", "02FF", "0306FF1431323334", "0207FF1431323334", "0206FE1431323334"]
)
def test_what_does_not_begin_as_a_packet_is_none(body: str) -> None:
    with pytest.raises(NotAPacket):
        read_request(bytes.fromhex(body))
    assert read_request(bytes.fromhex("0206FF9931323334")).step is None, "an unknown command"


@dataclass
class Client:
    """One connection to a scale, on which byte by byte is said what a test wants said."""

    reader: StreamReader
    writer: StreamWriter

    def send(self, code: int, rest: bytes = b"", password: bytes = b"1234") -> None:
        """Send a request and do not wait."""
        self.writer.write(framed(packet(code, password + rest)))

    async def receive(self) -> bytes:
        """The body of the next reply."""
        size = int.from_bytes(await self.reader.readexactly(4), "little")
        return await self.reader.readexactly(size)

    async def ask(self, code: int, rest: bytes = b"", password: bytes = b"1234") -> bytes:
        """Both, one after the other."""
        self.send(code, rest, password)
        return await self.receive()

    async def announce(self, file: bytes, order: Literal["big", "little"] = "big") -> bytes:
        digest = md5(file, usedforsecurity=False).digest()
        size = len(file).to_bytes(8, order)
        return await self.ask(0x13, b"\x02" + digest + b"\x04" + size + b"\x01\x00")

    async def put(self, data: bytes, *, offset: int = 0, last: bool = True) -> bytes:
        head = offset.to_bytes(4, "little") + len(data).to_bytes(2, "little")
        return await self.ask(0x13, b"\x03" + bytes([last]) + head + data)

    async def upload(self, file: bytes) -> None:
        """All but the check."""
        await self.announce(file)
        await self.put(file)

    async def check(self) -> bytes:
        return await self.ask(0x13, b"\x09")


@asynccontextmanager
async def connected(scale: Simulator) -> AsyncIterator[Client]:
    """A connection to a simulated scale."""
    reader, writer = await asyncio.open_connection(scale.host, scale.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@asynccontextmanager
async def dialogue(items: int = 5, **options: Any) -> AsyncIterator[tuple[Simulator, Client]]:
    """A scale, and a connection to it."""
    async with a_scale(items, **options) as scale, connected(scale) as client:
        yield scale, client


OK = bytes.fromhex("0203FF1300")
DONE = bytes.fromhex("0206FF1300000000")
FAILED = bytes.fromhex("0206FF1300020000")
EMPTY = b'{"products":[]}'
PRICED = json.dumps(priced(3, 8.0), ensure_ascii=False).encode()


async def test_wrong_passwords_commands_and_parameters_have_their_codes() -> None:
    async with dialogue() as (_, client):
        assert await client.ask(0x14, password=b"0000") == bytes.fromhex("0203FF147A")
        assert await client.ask(0x99) == bytes.fromhex("0203FF9978")
        assert await client.ask(0x12, b"\x55") == bytes.fromhex("0203FF1278")
        assert (await client.ask(0x13, b"\x02" + bytes(27)))[4] == 0x7C
        await client.announce(EMPTY)
        assert (await client.ask(0x13, b"\x03\x01" + bytes(4) + b"\x09\x00" + b"short"))[4] == 0x7C


async def test_what_was_never_begun_is_not_answered_as_if_it_were() -> None:
    async with dialogue() as (_, client):
        assert (await client.ask(0x15))[4] == 0xAB
        assert (await client.ask(0x12, b"\x03"))[4] == 0xAB
        assert (await client.check())[4] == 0xBC
        assert (await client.put(b"{}"))[4] == 0xBC


@pytest.mark.parametrize("order", ["big", "little"])
async def test_both_byte_orders_of_the_size_are_taken_and_reported(order: Any) -> None:
    async with dialogue() as (scale, client):
        assert await client.announce(PRICED, order) == OK
        assert await client.put(PRICED) == OK
        assert await client.check() == DONE

        assert scale.scale.size_orders == [order]
        assert scale.base.document == priced(3, 8.0)


async def test_chunks_are_stored_at_their_offset_so_sending_one_again_changes_nothing() -> None:
    half = len(PRICED) // 2
    async with dialogue() as (_, client):
        await client.announce(PRICED)
        for _ in range(2):
            await client.put(PRICED[:half], last=False)
        await client.put(PRICED[half:], offset=half)

        assert await client.check() == DONE


@pytest.mark.parametrize(
    ("announced", "sent"),
    [
        *((EMPTY, b'{"products":[ }'), (EMPTY, EMPTY[:-1])),
        *((file, file) for file in (b'{"products":{}}', b"[1]", b"no json")),
        (EMPTY, None),
    ],
)
async def test_a_file_that_is_damaged_or_no_catalogue_or_missing_is_not_imported(
    announced: bytes, sent: bytes | None
) -> None:
    async with dialogue(4) as (scale, client):
        await client.announce(announced)
        if sent is not None:
            await client.put(sent)

        assert await client.check() == FAILED
        assert scale.base.document == catalogue(4)


async def test_an_import_takes_as_many_checks_as_it_is_set_to() -> None:
    async with dialogue(checking=2) as (_, client):
        await client.upload(PRICED)

        assert [(await client.check())[5] for _ in range(4)] == [1, 1, 0, 0]


async def test_an_export_is_the_base_of_when_it_was_asked_for() -> None:
    async with dialogue(3) as (scale, client):
        await client.ask(0x14)
        scale.base.replace_document(priced(3, 1.0))
        reply = await client.ask(0x12, b"\x03")

        assert reply[:6] == bytes.fromhex("02FFFF120001")
        assert int.from_bytes(reply[6:10], "little") == 0
        assert int.from_bytes(reply[10:12], "little") == len(reply) - 12
        assert json.loads(reply[12:]) == catalogue(3)


@pytest.mark.parametrize(("state", "code"), [("scale", 0), ("connection", 0xBC)])
async def test_an_upload_outlives_its_connection_if_the_scale_is_so(state: str, code: int) -> None:
    async with a_scale(3, state=state) as scale:
        async with connected(scale) as first:
            await first.upload(PRICED)
        async with connected(scale) as second:
            assert (await second.check())[4] == code


async def test_a_scale_that_serves_one_connection_lets_the_second_wait() -> None:
    async with dialogue(3, connections=1) as (scale, first), connected(scale) as second:
        await first.ask(0x14)
        second.send(0x15)
        await eventually(lambda: scale.open_connections == 2)
        assert scale.transcript.count == 2
        first.writer.close()
        assert (await second.receive())[3] == 0x15


async def test_operations_that_meet_are_seen_and_said() -> None:
    opened = open_simulator(open_base(None, lambda: catalogue(3)))
    async with opened as scale, connected(scale) as first, connected(scale) as second:
        await first.announce(EMPTY)
        await second.ask(0x14)

        with pytest.raises(AssertionError, match="the last was 14 of 2 into 1"):
            scale.transcript.assert_alone()
        assert scale.transcript.overlap_count == 1


async def test_operations_one_after_the_other_do_not_meet() -> None:
    async with a_scale(3) as scale:
        async with connected(scale) as first:
            await first.announce(EMPTY)
        async with connected(scale) as second, connected(scale) as third:
            await second.ask(0x14)
            await second.ask(0x12, b"\x03")
            await third.ask(0x14)

        scale.transcript.assert_alone()


async def test_the_transcript_says_no_password() -> None:
    lines: list[str] = []
    opened = open_simulator(
        open_base(None, lambda: catalogue(3)),
        options=Options(password="q7Zx"),
        listen=lambda frame: lines.append(frame.line()),
    )
    async with opened as scale, connected(scale) as client:
        await client.ask(0x14, password=b"q7Zx")

    assert [json.loads(line)["head"] for line in lines] == ["0206ff14********", "0203ff1400"]


async def test_what_is_no_packet_ends_the_connection_and_is_counted() -> None:
    async with dialogue() as (scale, client):
        client.writer.write(bytes.fromhex("08000000 0306FF1431323334"))

        assert await client.reader.read() == b""
        assert scale.transcript.malformed == 1
        scale.transcript.malformed = 0


async def test_the_product_base_outlives_the_scale(tmp_path: Path) -> None:
    path = tmp_path / "scale.json"
    async with dialogue(base=open_base(path, lambda: catalogue(3))) as (_, client):
        assert json.loads(path.read_bytes()) == catalogue(3)
        await client.upload(PRICED)
        await client.check()

    async with a_scale(base=open_base(path, lambda: catalogue(9))) as scale:
        assert scale.base.document == priced(3, 8.0)


async def test_a_power_cut_undoes_what_was_not_confirmed_and_leaves_what_was() -> None:
    async with a_scale(3) as scale:
        for confirmed in (False, True):
            async with connected(scale) as client:
                await client.upload(PRICED)
                if confirmed:
                    await client.check()
                await scale.power_cut()
                assert scale.open_connections == 0
            assert (prices(scale) == {8.0}) is confirmed
            await scale.power_on()
            async with connected(scale) as client:
                assert (await client.check())[4] == 0xBC


async def test_a_scale_may_compute_the_days_itself() -> None:
    product = {"id": 1, "code": 5, "shelfLife": 9, "shelfLifeInDays": 1}
    async with dialogue(derives=True) as (scale, client):
        await client.upload(json.dumps({"products": [product]}).encode())

        assert scale.base.products[0]["shelfLifeInDays"] == 9


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        *(("poll:inf", {"number": None}), ("poll:3", {"number": 3})),
        ("mute:FF13/09:2", {"steps": {Step.CHECK}, "times": 2}),
        ("late:15:0.5", {"steps": {Step.CREATED}, "seconds": 0.5, "times": None}),
        ("rc:14:CB", {"number": 0xCB}),
        ("check2msg:цена: нет", {"text": "цена: нет"}),
        *(("badhash*4", {"times": 4}), ("lostack", {"times": 1})),
    ],
)
def test_faults_are_written_as_the_specification_writes_them(
    given: str, expected: dict[str, Any]
) -> None:
    assert {name: getattr(parse_fault(given), name) for name in expected} == expected


@pytest.mark.parametrize(
    "given",
    [
        *("", "nothing", "pw:1", "poll", "poll:many", "fin", "fin:99", "mute:14:0", "mute:14:x"),
        *("drip:x", "drip:-1", "drip:nan", "rc:14:QQ", "rc:14", "pw*0"),
    ],
)
def test_what_is_no_fault_is_refused(given: str) -> None:
    with pytest.raises(BadFault):
        parse_fault(given)


def test_a_fault_for_some_times_is_used_up_by_what_it_is_about() -> None:
    faults = Faults(["mute:14:2", "pw"])

    assert faults.bite("mute", Step.CHECK) is None
    assert [faults.bite("mute", Step.CREATE) is not None for _ in range(3)] == [True, True, False]
    assert faults.bite("pw") is not None
    assert faults.find("pw") is not None


def test_every_fault_says_how_it_is_written() -> None:
    forms = {kind.form(name) for name, kind in KINDS.items()}

    assert {"pw", "mute:step[:times]", "late:step:seconds", "poll:number"} <= forms


ONE, TWO = {"id": 1, "code": 1}, {"id": 2, "code": 2}


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ({"id": 2, "code": 9, "price": 5}, [ONE, {"id": 2, "code": 9, "price": 5}]),
        ({"code": 2, "price": 5}, [ONE, {**TWO, "price": 5}]),
        ({"id": "2", "price": 5}, [ONE, {**TWO, "id": "2", "price": 5}]),
        ({"id": 3, "code": 2, "x": 1}, [ONE, {"id": 3, "code": 2, "x": 1}]),
        ({"id": 3, "code": 3}, [ONE, TWO, {"id": 3, "code": 3}]),
        ({"id": 1, "deleted": True}, [TWO]),
        (None, [ONE, TWO]),
    ],
    ids=["id", "code", "id as text", "code and another id", "new", "deleted", "nothing"],
)
def test_a_merge_goes_by_id_and_then_by_code(
    new: dict[str, Any] | None, expected: list[dict[str, Any]]
) -> None:
    assert merge([ONE, TWO], [] if new is None else [new], ("id", "code")) == expected


def test_what_goes_with_the_products_is_merged_by_its_own_keys() -> None:
    base = ProductBase(catalogue(2))
    new = {"products": [], "categories": [{"idCategory": 2, "name": "Сыры"}], "extra": 1}

    merged = base.imported(new, into=base.document, clear=False)

    assert [one["name"] for one in merged["categories"]] == ["Цветы", "Сыры"]
    assert merged["extra"] == 1
    assert merged["products"] == catalogue(2)["products"]
    assert base.imported(new, into=base.document, clear=True) == new


@pytest.mark.parametrize("content", ["[]", "{}", "{", '{"products": 1}'])
def test_a_file_without_a_catalogue_is_no_product_base(tmp_path: Path, content: str) -> None:
    path = tmp_path / "base.json"
    path.write_text(content)

    with pytest.raises(ValueError, match=r"catalogue|Expecting"):
        open_base(path, lambda: catalogue(1))
    assert path.read_text() == content
