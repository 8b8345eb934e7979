"""From the log over Kafka into the read model: everything, once, in order."""

from tests.libs.messaging.lab import Lab, Numbered, eventually, order, running


async def test_what_is_appended_shows_up_in_the_read_model(lab: Lab) -> None:
    async with running(lab.relay(), lab.projector()):
        for number in range(10):
            await lab.append(order(number % 3), Numbered(number))
        await eventually(lab.rows, {order(n): list(range(n, 10, 3)) for n in range(3)})
