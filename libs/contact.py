"""Phone numbers, e-mail addresses, postal addresses and names: normal forms, and masks of them."""

import unicodedata
from collections.abc import Callable
from string import digits
from typing import Final

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from libs.errors import Unfit

HIDDEN: Final = "****"
HIDDEN_ADDRESS: Final = "*****"
SHORT: Final = 8
"""A number of this length or less is hidden as a whole."""
NATIONAL_DIGITS: Final = 10
CODES: Final = ("+7", "7", "8")
"""What precedes the ten digits: the country code, or the 8 that is dialled at home."""


class BadPhone(Unfit):
    """This is not a phone number."""


class BadEmail(Unfit):
    """This is not an e-mail address."""


def phone(text: str, region: str) -> str:
    """A phone number in E.164, read as it is dialled in `region`, such as `KZ`. Raises BadPhone."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        # Without a cause, here and below: its text may quote the number.
        raise BadPhone from None
    if not phonenumbers.is_possible_number(number):
        raise BadPhone
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def zone7_phone(text: str, *, bare: bool = True) -> str:
    """A number of Kazakhstan or Russia as `+7` and ten digits, whether or not it is in use.

    All signs but digits and a plus are ignored. The number begins with `+7`, `7` or `8`; if `bare`
    it may also be the ten digits alone. Raises BadPhone.
    """
    signs = "".join(sign for sign in text if sign in digits or sign == "+")
    national = next((signs.removeprefix(code) for code in CODES if signs.startswith(code)), "")
    if bare and len(signs) == NATIONAL_DIGITS:
        national = signs
    if len(national) != NATIONAL_DIGITS or "+" in national:
        raise BadPhone
    return f"+7{national}"


def email(text: str) -> str:
    """An e-mail address: in NFC, without spaces around it, its domain lower-cased. Raises BadEmail.

    The part before the `@` stays as it is written.
    """
    try:
        plain = unicodedata.normalize("NFC", text).strip()
        return validate_email(plain, check_deliverability=False).normalized
    except EmailNotValidError:
        raise BadEmail from None


def mask_phone(text: str, *, first: int = 6, hidden: str = HIDDEN, last: int = 2) -> str:
    """The `first` and the `last` characters of a number around `hidden`; only that for a short one.

    `+77011****67` by default.
    """
    if len(text) <= max(SHORT, first + last):
        return hidden
    return f"{text[:first]}{hidden}{text[len(text) - last :]}"


def mask_email(text: str) -> str:
    """`an***@example.com`; `**@example.com` if there are only two characters or less to show."""
    local, at, domain = text.rpartition("@")
    if not at:
        return HIDDEN
    return f"**@{domain}" if len(local) <= 2 else f"{local[:2]}***@{domain}"


def mask_address(text: str) -> str:
    """The street of a postal address: the words before its first number, after the last comma.

    `Алматы, ул. Абая 15, кв. 3` becomes `ул. Абая *****`. Without a number nothing is shown, since
    it may be anything.
    """
    words = text.split()
    number = next((n for n, word in enumerate(words) if any(map(str.isnumeric, word))), 0)
    parts = [part.strip() for part in " ".join(words[:number]).split(",")]
    street = next((part for part in reversed(parts) if part), "")
    return f"{street} {HIDDEN_ADDRESS}".lstrip()


def first_name(text: str) -> str:
    """The first word of a name; an empty text stays empty."""
    return next(iter(text.split()), "")


def is_unchanged(submitted: str, known: str, mask: Callable[[str], str]) -> bool:
    """Whether a form that was filled with the masked value came back as it was, or empty.

    Such a value must not replace the known one.
    """
    return submitted.strip() in {"", known, mask(known)}
