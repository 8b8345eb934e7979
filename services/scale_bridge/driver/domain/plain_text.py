"""Text that a device or an agent sent, as it may be stored, logged and shown."""


def one_line(text: str, most: int) -> str:
    """The text as one line of at most `most` characters, without control characters and NUL.

    What cannot be printed counts as blank, and blanks are collapsed.
    """
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.split())[:most]
