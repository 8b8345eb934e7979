"""What is sealed to somebody opens for nobody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.security.sealed_box import (
    TAG_BYTES,
    generate_private,
    open_sealed,
    public_of,
    seal_to,
)
from libs.security.sealing import SealBroken

ANNA = generate_private()
BORIS = generate_private()


@given(st.text(max_size=100), st.text(max_size=20))
def test_its_reader_reads_it(text: str, context: str) -> None:
    sealed = seal_to(public_of(ANNA), text, context)

    assert open_sealed(ANNA, sealed, context) == text
    assert not text or len(text) < 4 or text.encode() not in sealed


def test_nobody_else_reads_it() -> None:
    with pytest.raises(SealBroken):
        open_sealed(BORIS, seal_to(public_of(ANNA), "1234", "scale"), "scale")


def test_it_is_good_in_its_context_only() -> None:
    with pytest.raises(SealBroken):
        open_sealed(ANNA, seal_to(public_of(ANNA), "1234", "this scale"), "that scale")


def test_the_same_text_never_looks_the_same() -> None:
    assert seal_to(public_of(ANNA), "1234", "") != seal_to(public_of(ANNA), "1234", "")


@given(st.data())
def test_what_was_touched_does_not_open(data: st.DataObject) -> None:
    sealed = bytearray(seal_to(public_of(ANNA), "1234", "scale"))
    place = data.draw(st.integers(0, len(sealed) - 1))
    bit = data.draw(st.integers(0, 7))
    sealed[place] ^= 1 << bit

    # The highest bit of a point does not count (RFC 7748 §5), but what it is bound to does.
    with pytest.raises(SealBroken):
        open_sealed(ANNA, bytes(sealed), "scale")


@given(st.binary(max_size=32 + TAG_BYTES + 8))
def test_what_is_no_box_does_not_open(junk: bytes) -> None:
    with pytest.raises(SealBroken):
        open_sealed(ANNA, junk, "")


@pytest.mark.parametrize("key", [b"", b"short", bytes(32), b"\x01" + bytes(31)])
def test_what_is_no_key_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        seal_to(key, "1234", "scale")

    assert "1234" not in str(refused.value)
