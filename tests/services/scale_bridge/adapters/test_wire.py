"""Frames are, byte for byte, those that were recorded (§4.2)."""

import pytest

from services.scale_bridge.adapters.wire import NotAPacket, Step, framed, packet, read_request

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


@pytest.mark.parametrize(
    ("body", "frame"),
    [
        (packet(0x14, b"\0"), "05000000 0203FF1400"),
        (packet(0x13, bytes(4)), "08000000 0206FF1300000000"),
    ],
)
def test_a_good_reply_is_written_as_recorded(body: bytes, frame: str) -> None:
    assert framed(body) == bytes.fromhex(frame)


def test_from_255_bytes_on_the_length_byte_says_only_that_it_is_long() -> None:
    assert packet(0x12, bytes(252))[1] == 254
    assert packet(0x12, bytes(253))[1] == 0xFF
    assert packet(0x12, bytes(60_000))[1] == 0xFF


@pytest.mark.parametrize(
    "body", ["", "02FF", "0306FF1431323334", "0207FF1431323334", "0206FE1431323334"]
)
def test_what_does_not_begin_as_a_packet_is_none(body: str) -> None:
    with pytest.raises(NotAPacket):
        read_request(bytes.fromhex(body))


def test_an_unknown_command_has_no_step() -> None:
    assert read_request(bytes.fromhex("0206FF9931323334")).step is None
