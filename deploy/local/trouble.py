"""Errors that keep the installation from starting, each with its remedy."""


class CannotStart(Exception):
    """One plain sentence about what is wrong, and one about what to do."""

    def __init__(self, sentence: str, *, remedy: str) -> None:
        self.sentence = sentence
        self.remedy = remedy
        super().__init__(f"{sentence} {remedy}")


class Interrupted(Exception):
    """The user requested a stop while a program was starting."""
