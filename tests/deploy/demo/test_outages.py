"""An outage is told twice, however many requests fail in it."""

from deploy.demo.outages import Outages


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_outage_is_told_when_it_begins_and_when_it_is_over() -> None:
    said: list[str] = []
    clock = Clock()
    outages = Outages(said.append, clock=clock)

    outages.failed("nobody listens")
    clock.now = 2.0
    outages.failed("503\nTemporarily unavailable")
    assert outages.seconds() == 2.0
    outages.worked(begun=1.5)
    outages.worked(begun=2.5)
    clock.now = 9.0
    outages.worked(begun=8.0)

    assert outages.count == 1
    assert outages.seconds() == 0.0
    assert said == [
        "Outage 1: nobody listens. The devices keep trying.",
        "Outage 1 is over after 2.0 s and 2 failed requests.",
    ]
