"""Every result code has words in both languages, and something to do about it."""

import pytest

from services.scale_bridge.domain.result_code import MEANINGS, Advice, ResultCode, meaning


@pytest.mark.parametrize("code", ResultCode, ids=lambda code: code.name)
def test_a_documented_code_is_explained(code: ResultCode) -> None:
    """(R16)"""
    found = MEANINGS[code]

    assert found.english.isascii()
    assert not found.russian.isascii()
    assert (found.advice is Advice.NONE) is (code is ResultCode.SUCCESS)


def test_an_undocumented_code_is_called_unknown() -> None:
    """(R16)"""
    assert meaning(0xEE).advice is Advice.CALL_SERVICE
