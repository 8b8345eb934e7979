"""What keeps the installation from starting, said so that a person can mend it."""


class CannotStart(Exception):
    """One plain sentence about what is wrong, and one about what to do."""

    def __init__(self, sentence: str, *, remedy: str) -> None:
        self.sentence = sentence
        self.remedy = remedy
        super().__init__(f"{sentence} {remedy}")


class Interrupted(Exception):
    """The person at the keyboard asked to stop while something was still starting."""
