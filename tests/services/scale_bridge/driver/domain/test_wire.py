"""Frames equal the recorded ones, in both directions (§4)."""

import pytest

from services.scale_bridge.driver.domain.wire import NotAPacket, Step, framed, packet, read_request

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
def test_a_recorded_request_is_parsed_and_written_back_identically(step: Step, frame: str) -> None:
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
def test_bytes_that_are_no_packet_are_refused(body: str) -> None:
    with pytest.raises(NotAPacket):
        read_request(bytes.fromhex(body))
    assert read_request(bytes.fromhex("0206FF9931323334")).step is None, "an unknown command"
