"""The simulated scale answers byte by byte as §4 and §6 say, and sees when operations meet."""

import json
from pathlib import Path
from typing import Literal

import pytest

from services.scale_bridge.adapters.simulator.goods import catalogue
from services.scale_bridge.adapters.simulator.products import open_base
from services.scale_bridge.adapters.simulator.scale import Options
from services.scale_bridge.adapters.simulator.server import open_simulator
from tests.services.scale_bridge.adapters.raw import connected
from tests.services.scale_bridge.at_hand import a_scale, priced, prices, until

OK = bytes.fromhex("0203FF1300")
DONE = bytes.fromhex("0206FF1300000000")
FAILED = bytes.fromhex("0206FF1300020000")


def written(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


async def test_a_wrong_password_and_an_unknown_command_have_their_codes() -> None:
    async with a_scale() as simulator, connected(simulator) as client:
        assert await client.ask(0x14, password=b"0000") == bytes.fromhex("0203FF147A")
        assert await client.ask(0x99) == bytes.fromhex("0203FF9978")
        assert await client.ask(0x12, b"\x55") == bytes.fromhex("0203FF1278")


async def test_what_was_never_begun_is_not_answered_as_if_it_were() -> None:
    async with a_scale() as simulator, connected(simulator) as client:
        assert (await client.ask(0x15))[4] == 0xAB
        assert (await client.ask(0x12, b"\x03"))[4] == 0xAB
        assert (await client.check())[4] == 0xBC
        assert (await client.put(0, b"{}", last=True))[4] == 0xBC


@pytest.mark.parametrize("order", ["big", "little"])
async def test_both_byte_orders_of_the_size_are_taken_and_reported(
    order: Literal["big", "little"],
) -> None:
    file = written(priced(3, 8.0))
    async with a_scale() as simulator, connected(simulator) as client:
        assert await client.announce(file, order=order) == OK
        assert await client.put(0, file, last=True) == OK
        assert await client.check() == DONE

        assert simulator.scale.size_orders == [order]
        assert simulator.base.document == priced(3, 8.0)


async def test_chunks_are_kept_at_their_offset_so_sending_one_again_changes_nothing() -> None:
    file = written(priced(3, 8.0))
    half = len(file) // 2
    async with a_scale() as simulator, connected(simulator) as client:
        await client.announce(file)
        await client.put(0, file[:half], last=False)
        await client.put(0, file[:half], last=False)
        await client.put(half, file[half:], last=True)

        assert await client.check() == DONE


@pytest.mark.parametrize(
    ("announced", "sent"),
    [
        (b'{"products":[]}', b'{"products":[ }'),
        (b'{"products":[]}', b'{"products":[]'),
        (b'{"products":{}}', b'{"products":{}}'),
        (b"[1]", b"[1]"),
        (b"no json", b"no json"),
    ],
)
async def test_a_file_that_is_damaged_or_no_catalogue_is_not_imported(
    announced: bytes, sent: bytes
) -> None:
    async with a_scale(4) as simulator, connected(simulator) as client:
        await client.announce(announced)
        await client.put(0, sent, last=True)

        assert await client.check() == FAILED
        assert simulator.base.document == catalogue(4)


async def test_a_check_before_the_last_chunk_says_failed() -> None:
    async with a_scale() as simulator, connected(simulator) as client:
        await client.announce(b'{"products":[]}')

        assert await client.check() == FAILED


async def test_a_broken_announcement_or_chunk_is_a_wrong_parameter() -> None:
    async with a_scale() as simulator, connected(simulator) as client:
        assert (await client.ask(0x13, b"\x02" + bytes(27)))[4] == 0x7C
        await client.announce(b'{"products":[]}')
        assert (await client.ask(0x13, b"\x03\x01" + bytes(4) + b"\x09\x00" + b"short"))[4] == 0x7C


async def test_an_import_takes_as_many_checks_as_it_was_told() -> None:
    file = written(priced(3, 8.0))
    async with a_scale(checking=2) as simulator, connected(simulator) as client:
        await client.announce(file)
        await client.put(0, file, last=True)

        assert [(await client.check())[5] for _ in range(4)] == [1, 1, 0, 0]


async def test_an_export_is_the_base_of_when_it_was_asked_for() -> None:
    async with a_scale(3) as simulator, connected(simulator) as client:
        await client.ask(0x14)
        simulator.base.keep(priced(3, 1.0))
        reply = await client.ask(0x12, b"\x03")

        assert reply[:6] == bytes.fromhex("02FFFF120001")
        assert int.from_bytes(reply[6:10], "little") == 0
        assert int.from_bytes(reply[10:12], "little") == len(reply) - 12
        assert json.loads(reply[12:]) == catalogue(3)


@pytest.mark.parametrize(("state", "code"), [("scale", 0), ("connection", 0xBC)])
async def test_an_upload_outlives_its_connection_if_the_scale_is_so(
    state: Literal["scale", "connection"], code: int
) -> None:
    file = written(priced(3, 8.0))
    async with a_scale(3, state=state) as simulator:
        async with connected(simulator) as first:
            await first.announce(file)
            await first.put(0, file, last=True)
        async with connected(simulator) as second:
            assert (await second.check())[4] == code


async def test_a_scale_that_serves_one_connection_lets_the_second_wait() -> None:
    opened = a_scale(3, connections=1)
    async with opened as simulator, connected(simulator) as first, connected(simulator) as second:
        await first.ask(0x14)
        second.say(0x15)
        await until(lambda: simulator.open_connections == 2)
        assert simulator.transcript.count == 2
        first.writer.close()
        assert (await second.hear())[3] == 0x15


async def test_operations_that_meet_are_seen_and_said() -> None:
    """(R1)"""
    opened = open_simulator(open_base(None, lambda: catalogue(3)))
    async with opened as simulator, connected(simulator) as first, connected(simulator) as second:
        await first.announce(b'{"products":[]}')
        await second.ask(0x14)

        with pytest.raises(AssertionError, match="the last was 14 of 2 into 1"):
            simulator.transcript.assert_alone()
        assert simulator.transcript.overlap_count == 1


async def test_operations_one_after_the_other_do_not_meet() -> None:
    """(R1)"""
    async with a_scale(3) as simulator:
        async with connected(simulator) as first:
            await first.announce(b'{"products":[]}')
        async with connected(simulator) as second, connected(simulator) as third:
            await second.ask(0x14)
            await second.ask(0x12, b"\x03")
            await third.ask(0x14)

        simulator.transcript.assert_alone()


async def test_the_transcript_says_no_password() -> None:
    """(R18)"""
    lines: list[str] = []
    opened = open_simulator(
        open_base(None, lambda: catalogue(3)),
        options=Options(password="q7Zx"),
        listen=lambda frame: lines.append(frame.line()),
    )
    async with opened as simulator, connected(simulator) as client:
        await client.ask(0x14, password=b"q7Zx")

    assert [json.loads(line)["head"] for line in lines] == ["0206ff14********", "0203ff1400"]


async def test_what_is_no_packet_ends_the_connection_and_is_counted() -> None:
    async with a_scale() as simulator, connected(simulator) as client:
        client.writer.write(bytes.fromhex("08000000 0306FF1431323334"))

        assert await client.reader.read() == b""
        assert simulator.transcript.malformed == 1
        simulator.transcript.malformed = 0


async def test_the_product_base_outlives_the_scale(tmp_path: Path) -> None:
    """(R25)"""
    path = tmp_path / "scale.json"
    file = written(priced(3, 8.0))
    async with a_scale(base=open_base(path, lambda: catalogue(3))) as simulator:
        assert json.loads(path.read_bytes()) == catalogue(3)
        async with connected(simulator) as client:
            await client.announce(file)
            await client.put(0, file, last=True)
            await client.check()

    async with a_scale(base=open_base(path, lambda: catalogue(9))) as simulator:
        assert simulator.base.document == priced(3, 8.0)


async def test_a_power_cut_undoes_what_was_not_confirmed_and_keeps_what_was() -> None:
    file = written(priced(3, 8.0))
    async with a_scale(3) as simulator:
        for confirmed in (False, True):
            async with connected(simulator) as client:
                await client.announce(file)
                await client.put(0, file, last=True)
                if confirmed:
                    await client.check()
                await simulator.power_cut()
                assert simulator.open_connections == 0
            assert (prices(simulator) == {8.0}) is confirmed
            await simulator.power_on()
            async with connected(simulator) as client:
                assert (await client.check())[4] == 0xBC


async def test_a_scale_may_compute_the_days_itself() -> None:
    document = {"products": [{"id": 1, "code": 5, "shelfLife": 9, "shelfLifeInDays": 1}]}
    file = written(document)
    async with a_scale(derives=True) as simulator, connected(simulator) as client:
        await client.announce(file)
        await client.put(0, file, last=True)

        assert simulator.base.products[0]["shelfLifeInDays"] == 9
