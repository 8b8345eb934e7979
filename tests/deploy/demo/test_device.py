"""A device: what the app makes of a scan, and an outbox that loses nothing whatever is answered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.demo import device
from deploy.demo.device import Answer, Outbox, Verdict
from deploy.demo.pwa import Handheld, Said, auto_close_at, auto_closed, scanned

ACCEPTED = Answer(status=200, body={"ok": True})
ANSWERS = st.one_of(
    st.just(ACCEPTED),
    st.just(Answer(text="nobody listens")),
    st.builds(Answer, status=st.sampled_from([200, 207, 400, 401, 422, 429, 500, 503])),
    st.builds(Answer, status=st.just(200), body=st.just({"ok": False})),
)


def filled(keys: set[int]) -> Outbox:
    outbox = Outbox()
    for key in keys:
        outbox = device.scan(outbox, f"{key:04}", {"uuid": f"{key:04}"})
    return outbox


@given(keys=st.sets(st.integers(0, 9999), max_size=70), answers=st.lists(ANSWERS, max_size=30))
def test_whatever_is_answered_no_event_is_lost_and_no_batch_is_too_large(
    keys: set[int], answers: list[Answer]
) -> None:
    outbox, arrived = filled(keys), set[str]()

    for n, answer in enumerate(answers):
        batch = device.next_batch(outbox)
        assert list(batch) == sorted(outbox.unsent)[:20]
        outbox = device.settle(outbox, batch, answer)
        arrived |= batch.keys() if answer.accepts else set()
        outbox = device.resend(outbox) if n % 11 == 10 else outbox

    assert outbox.sent.keys() <= arrived
    assert outbox.unsent.keys() | outbox.sent.keys() == {f"{key:04}" for key in keys}
    assert not outbox.unsent.keys() & outbox.sent.keys()


@given(keys=st.sets(st.integers(0, 9999), max_size=70))
def test_an_outbox_is_empty_after_enough_good_answers(keys: set[int]) -> None:
    outbox = filled(keys)

    for _ in range(-(-len(keys) // 20)):
        outbox = device.settle(outbox, device.next_batch(outbox), ACCEPTED)

    assert not outbox.unsent


def test_poison_does_not_block_what_stands_behind_it() -> None:
    outbox = filled(set(range(25)))
    errors = Answer(status=200, body={"ok": True, "inserted": 0, "errors": ["event 0: …"] * 20})

    outbox = device.settle(outbox, device.next_batch(outbox), errors)

    assert list(device.next_batch(outbox)) == [f"{n:04}" for n in range(20, 25)]


def test_what_was_scanned_while_a_batch_was_under_way_stays_unsent() -> None:
    outbox = filled({1})
    batch = device.next_batch(outbox)

    outbox = device.settle(device.scan(outbox, "0000", {}), batch, ACCEPTED)

    assert list(outbox.unsent) == ["0000"]


def test_resending_takes_everything_again() -> None:
    outbox = device.settle(filled({1, 2}), ["0001"], ACCEPTED)

    assert device.resend(outbox) == Outbox(unsent=filled({1, 2}).unsent)


def test_a_batch_is_tried_three_times() -> None:
    failed = Answer(status=422, text="422 {}")

    verdicts = [device.verdict(failed, attempt=n) for n in (1, 2, 3)]

    assert verdicts == [Verdict.AGAIN, Verdict.AGAIN, Verdict.LATER]
    assert device.verdict(ACCEPTED, attempt=3) is Verdict.SENT


def test_a_refused_key_ends_the_attempts_also_if_only_the_text_looks_like_it() -> None:
    assert device.verdict(Answer(status=401, text="401 {}"), attempt=1) is Verdict.LATER
    assert device.verdict(Answer(status=422, text="422 code 4034"), attempt=1) is Verdict.LATER


def test_two_hundred_alone_is_no_acceptance() -> None:
    assert not Answer(status=200, body={}).accepts
    assert not Answer(status=200, body={"ok": False}).accepts
    assert not Answer(body={"ok": True}).accepts


IDLE = Handheld()
IN_TOWN = Handheld(city="Tula")
AT_BOX = Handheld(city="Tula", box="ivancov/8", opened_at=90.0)


@pytest.mark.parametrize(
    ("handheld", "text", "type", "code"),
    [
        (IDLE, "CITY:Tula", "CITY", "Tula"),
        (IDLE, "CITY:CLOSE", "ERROR", "NO_CITY"),
        (IDLE, "BOX:ivancov/8", "ERROR", "NO_CITY"),
        (IDLE, "4601", "ERROR", "NO_BOX"),
        (IN_TOWN, "city:Tula", "CITY", "Tula"),
        (IN_TOWN, "CITY:Omsk", "ERROR", "CITY_NOT_CLOSED"),
        (IN_TOWN, "CITY:CLOSE", "CITY_CLOSE", "Tula"),
        (IN_TOWN, "box:ivancov/8", "BOX", "ivancov/8"),
        (AT_BOX, " 4601 ", "ITEM", "4601"),
        (AT_BOX, "Ящик", "ERROR", "CYRILLIC_ERROR"),
        (AT_BOX, "BOX:ivancov/9", "ERROR", "BOX_NOT_CLOSED"),
        (AT_BOX, "CITY:CLOSE", "ERROR", "BOX_NOT_CLOSED"),
        (AT_BOX, "BOX:ivancov/8", "CLOSE", "ivancov/8"),
    ],
)
def test_a_scan_means_what_the_app_makes_of_it(
    handheld: Handheld, text: str, type: str, code: str
) -> None:
    after, said = scanned(handheld, text, at=100.0)

    assert (said.type, said.code) == (type, code)
    if type in {"ERROR", "ITEM"}:
        assert after == handheld


def test_only_a_cyrillic_error_tells_what_was_scanned() -> None:
    assert scanned(AT_BOX, "Ёлка", at=0)[1].details == "Ёлка"
    assert scanned(IDLE, "4601", at=0)[1].details == ""


def test_a_client_is_what_stands_before_the_first_slash() -> None:
    assert scanned(IN_TOWN, "BOX:a/b/7", at=0)[1].client == "a"
    assert scanned(IN_TOWN, "BOX:a", at=0)[1].client == "a"


def test_a_box_closes_by_itself_at_the_first_minute_after_its_hour() -> None:
    assert auto_close_at(IN_TOWN) is None
    assert auto_close_at(AT_BOX) == 3720.0

    after, said = auto_closed(AT_BOX)

    assert after.box == ""
    assert said == Said(type="AUTO_CLOSE", code="ivancov/8", city="Tula", box="ivancov/8")


def test_closing_a_city_leaves_nothing_open() -> None:
    assert scanned(IN_TOWN, "CITY:CLOSE", at=0)[0] == IDLE
