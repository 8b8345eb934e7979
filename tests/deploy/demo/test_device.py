"""A device: what the app makes of a scan, and an outbox that loses nothing whatever is answered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.demo import device
from deploy.demo.device import Answer, Outbox, Verdict
from deploy.demo.pwa import Handheld, HandheldEvent, auto_close_at, auto_closed, scanned

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
def test_no_event_is_lost_and_no_batch_is_too_large_whatever_the_responses(
    keys: set[int], answers: list[Answer]
) -> None:
    outbox, arrived = filled(keys), set[str]()

    for n, answer in enumerate(answers):
        batch = device.next_batch(outbox)
        assert list(batch) == sorted(outbox.unsent)[:20]
        outbox = device.apply_response(outbox, batch, answer)
        arrived |= batch.keys() if answer.accepts else set()
        outbox = device.resend(outbox) if n % 11 == 10 else outbox

    assert outbox.sent.keys() <= arrived
    assert outbox.unsent.keys() | outbox.sent.keys() == {f"{key:04}" for key in keys}
    assert not outbox.unsent.keys() & outbox.sent.keys()


@given(keys=st.sets(st.integers(0, 9999), max_size=70))
def test_an_outbox_is_empty_after_enough_good_answers(keys: set[int]) -> None:
    outbox = filled(keys)

    for _ in range(-(-len(keys) // 20)):
        outbox = device.apply_response(outbox, device.next_batch(outbox), ACCEPTED)

    assert not outbox.unsent


def test_invalid_events_do_not_block_later_ones() -> None:
    outbox = filled(set(range(25)))
    errors = Answer(status=200, body={"ok": True, "inserted": 0, "errors": ["event 0: …"] * 20})

    outbox = device.apply_response(outbox, device.next_batch(outbox), errors)

    assert list(device.next_batch(outbox)) == [f"{n:04}" for n in range(20, 25)]


def test_scans_during_a_request_stay_unsent() -> None:
    outbox = filled({1})
    batch = device.next_batch(outbox)

    outbox = device.apply_response(device.scan(outbox, "0000", {"uuid": "0000"}), batch, ACCEPTED)

    assert list(outbox.unsent) == ["0000"]
    assert device.resend(outbox) == Outbox(unsent=filled({0, 1}).unsent)


@pytest.mark.parametrize(
    ("answer", "attempt", "verdict"),
    [
        (Answer(status=422, text="422 {}"), 1, Verdict.AGAIN),
        (Answer(status=422, text="422 {}"), 2, Verdict.AGAIN),
        (Answer(status=422, text="422 {}"), 3, Verdict.LATER),
        (ACCEPTED, 3, Verdict.SENT),
        (Answer(status=401, text="401 {}"), 1, Verdict.LATER),
        (Answer(status=422, text="422 code 4034"), 1, Verdict.LATER),  # looks like a refused key
        (Answer(status=200, body={}), 1, Verdict.AGAIN),
        (Answer(status=200, body={"ok": False}), 1, Verdict.AGAIN),
        (Answer(body={"ok": True}), 1, Verdict.AGAIN),
    ],
)
def test_a_batch_is_tried_three_times_unless_the_key_is_refused(
    answer: Answer, attempt: int, verdict: Verdict
) -> None:
    assert device.verdict(answer, attempt=attempt) is verdict
    assert answer.accepts is (verdict is Verdict.SENT)


IDLE = Handheld()
IN_TOWN = Handheld(city="Tula")
AT_BOX = Handheld(city="Tula", box="ivancov/8", opened_at=90.0)


@pytest.mark.parametrize(
    ("handheld", "text", "type", "code", "more"),
    [
        (IDLE, "CITY:Tula", "CITY", "Tula", {}),
        (IDLE, "CITY:CLOSE", "ERROR", "NO_CITY", {}),
        (IDLE, "BOX:ivancov/8", "ERROR", "NO_CITY", {}),
        (IDLE, "4601", "ERROR", "NO_BOX", {}),
        (IN_TOWN, "city:Tula", "CITY", "Tula", {}),
        (IN_TOWN, "CITY:Omsk", "ERROR", "CITY_NOT_CLOSED", {}),
        (IN_TOWN, "CITY:CLOSE", "CITY_CLOSE", "Tula", {}),
        (IN_TOWN, "box:ivancov/8", "BOX", "ivancov/8", {"client": "ivancov"}),
        (IN_TOWN, "BOX:a/b/7", "BOX", "a/b/7", {"client": "a"}),
        (IN_TOWN, "BOX:a", "BOX", "a", {"client": "a"}),
        (AT_BOX, " 4601 ", "ITEM", "4601", {}),
        (AT_BOX, "Ящик", "ERROR", "CYRILLIC_ERROR", {"details": "Ящик"}),
        (AT_BOX, "Ёлка", "ERROR", "CYRILLIC_ERROR", {"details": "Ёлка"}),
        (AT_BOX, "BOX:ivancov/9", "ERROR", "BOX_NOT_CLOSED", {}),
        (AT_BOX, "CITY:CLOSE", "ERROR", "BOX_NOT_CLOSED", {}),
        (AT_BOX, "BOX:ivancov/8", "CLOSE", "ivancov/8", {}),
    ],
)
def test_a_scan_becomes_the_event_that_the_app_makes_of_it(
    handheld: Handheld, text: str, type: str, code: str, more: dict[str, str]
) -> None:
    after, event = scanned(handheld, text, at=100.0)

    assert (event.type, event.code) == (type, code)
    assert event.details == more.get("details", "")
    assert event.client == more.get("client", event.client)
    if type in {"ERROR", "ITEM"}:
        assert after == handheld
    elif type == "CITY_CLOSE":
        assert after == IDLE


def test_a_box_closes_by_itself_at_the_first_minute_after_its_hour() -> None:
    assert auto_close_at(IN_TOWN) is None
    assert auto_close_at(AT_BOX) == 3720.0

    after, event = auto_closed(AT_BOX)

    assert after.box == ""
    assert event == HandheldEvent(type="AUTO_CLOSE", code="ivancov/8", city="Tula", box="ivancov/8")
