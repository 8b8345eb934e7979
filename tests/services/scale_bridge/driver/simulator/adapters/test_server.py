"""A simulated scale replies as §4 and §6 specify, stores its products (R25), detects overlapping
operations (R1) and logs no password (R18)."""

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
from services.scale_bridge.driver.domain.wire import (
    framed,
    packet,
)
from services.scale_bridge.driver.simulator.adapters.products import open_base
from services.scale_bridge.driver.simulator.adapters.scale import Options
from services.scale_bridge.driver.simulator.adapters.server import Simulator, open_simulator
from services.scale_bridge.driver.simulator.domain.goods import catalogue
from tests.services.scale_bridge.at_hand import a_scale, priced, prices


@dataclass
class Client:
    """One connection to a scale, for requests byte by byte."""

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
        """Send a request and wait for the reply."""
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
        """Announce and send a file, without the check."""
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


async def test_commands_out_of_order_are_refused() -> None:
    async with dialogue() as (_, client):
        assert (await client.ask(0x15))[4] == 0xAB
        assert (await client.ask(0x12, b"\x03"))[4] == 0xAB
        assert (await client.check())[4] == 0xBC
        assert (await client.put(b"{}"))[4] == 0xBC


@pytest.mark.parametrize("order", ["big", "little"])
async def test_both_byte_orders_of_the_size_are_accepted_and_reported(order: Any) -> None:
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


async def test_an_export_is_the_product_base_at_the_time_of_the_request() -> None:
    async with dialogue(3) as (scale, client):
        await client.ask(0x14)
        scale.base.replace_document(priced(3, 1.0))
        reply = await client.ask(0x12, b"\x03")

        assert reply[:6] == bytes.fromhex("02FFFF120001")
        assert int.from_bytes(reply[6:10], "little") == 0
        assert int.from_bytes(reply[10:12], "little") == len(reply) - 12
        assert json.loads(reply[12:]) == catalogue(3)


@pytest.mark.parametrize(("state", "code"), [("scale", 0), ("connection", 0xBC)])
async def test_an_upload_survives_its_connection_if_the_option_says_so(
    state: str, code: int
) -> None:
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


async def test_overlapping_operations_are_reported() -> None:
    opened = open_simulator(open_base(None, lambda: catalogue(3)))
    async with opened as scale, connected(scale) as first, connected(scale) as second:
        await first.announce(EMPTY)
        await second.ask(0x14)

        with pytest.raises(AssertionError, match="the last was 14 of 2 into 1"):
            scale.transcript.assert_alone()
        assert scale.transcript.overlap_count == 1


async def test_consecutive_operations_do_not_overlap() -> None:
    async with a_scale(3) as scale:
        async with connected(scale) as first:
            await first.announce(EMPTY)
        async with connected(scale) as second, connected(scale) as third:
            await second.ask(0x14)
            await second.ask(0x12, b"\x03")
            await third.ask(0x14)

        scale.transcript.assert_alone()


async def test_the_transcript_masks_the_password() -> None:
    lines: list[str] = []
    opened = open_simulator(
        open_base(None, lambda: catalogue(3)),
        options=Options(password="q7Zx"),
        on_frame=lambda frame: lines.append(frame.line()),
    )
    async with opened as scale, connected(scale) as client:
        await client.ask(0x14, password=b"q7Zx")

    assert [json.loads(line)["head"] for line in lines] == ["0206ff14********", "0203ff1400"]


async def test_a_malformed_packet_ends_the_connection_and_is_counted() -> None:
    async with dialogue() as (scale, client):
        client.writer.write(bytes.fromhex("08000000 0306FF1431323334"))

        assert await client.reader.read() == b""
        assert scale.transcript.malformed == 1
        scale.transcript.malformed = 0


async def test_the_product_base_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "scale.json"
    async with dialogue(base=open_base(path, lambda: catalogue(3))) as (_, client):
        assert json.loads(path.read_bytes()) == catalogue(3)
        await client.upload(PRICED)
        await client.check()

    async with a_scale(base=open_base(path, lambda: catalogue(9))) as scale:
        assert scale.base.document == priced(3, 8.0)


async def test_a_power_cut_undoes_unconfirmed_imports_only() -> None:
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
