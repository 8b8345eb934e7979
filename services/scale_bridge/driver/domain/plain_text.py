"""Texts of devices and agents, made fit to be stored, logged and displayed."""


def one_line(text: str, most: int) -> str:
    """The text as one line of at most `most` characters, without control characters and NUL.

    Unprintable characters count as blanks; several blanks become one.
    """
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.split())[:most]
