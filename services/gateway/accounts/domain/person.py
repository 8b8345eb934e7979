"""Personal data and addresses, and their normal forms for comparison."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from libs import contact
from libs.errors import Refused

MAX_USERNAME: Final = 100
DEFAULT_REGION: Final = "RU"
"""The country of phone numbers that are written without a country code."""


class Kind(StrEnum):
    """The kind of an address."""

    EMAIL = "email"
    PHONE = "phone"
    USERNAME = "username"
    TELEGRAM = "telegram"


class BadAddress(Refused):
    """This is not an e-mail address, phone number or user name."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address that an account is found by; `text` is its normal form."""

    kind: Kind
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """The personal data of an account.

    `traits` are fields of one door only, such as the city of the crm. An address among them does
    not identify the account.
    """

    email: str | None = None
    phone: str | None = None
    username: str | None = None
    telegram_id: int | None = None
    name: str = ""
    traits: Mapping[str, str] = field(default_factory=dict)


def email(text: str) -> Address:
    """An e-mail address: lower-cased, in NFC, spaces around it gone. Raises BadAddress."""
    return Address(Kind.EMAIL, _folded(_email(text)))


def phone(text: str, region: str = DEFAULT_REGION) -> Address:
    """A phone number in E.164, read as it is dialled in `region`. Raises BadAddress."""
    return Address(Kind.PHONE, _phone(text, region))


def username(text: str) -> Address:
    """A user name: lower-cased, in NFC, spaces around it gone. Raises BadAddress."""
    return Address(Kind.USERNAME, _folded(_username(text)))


def telegram(telegram_id: int) -> Address:
    """A Telegram account by its number. Raises BadAddress."""
    if telegram_id <= 0:
        raise BadAddress
    return Address(Kind.TELEGRAM, str(telegram_id))


def tidy(person: Person, region: str = DEFAULT_REGION) -> Person:
    """The person as stored: texts trimmed and in NFC, the phone in E.164, empty texts as None.

    Raises BadAddress.
    """
    return replace(
        person,
        email=_email(person.email) if person.email else None,
        phone=_phone(person.phone, region) if person.phone else None,
        username=_username(person.username) if person.username else None,
        telegram_id=person.telegram_id or None,
        name=_plain(person.name),
    )


def addresses_of(person: Person) -> frozenset[Address]:
    """The addresses that identify the person. Raises BadAddress."""
    addresses = {
        email(person.email) if person.email else None,
        phone(person.phone) if person.phone else None,
        username(person.username) if person.username else None,
        telegram(person.telegram_id) if person.telegram_id else None,
    }
    return frozenset(address for address in addresses if address is not None)


def _email(text: str) -> str:
    try:
        return contact.email(text)
    except contact.BadEmail:
        raise BadAddress from None


def _phone(text: str, region: str) -> str:
    try:
        return contact.phone(text, region)
    except contact.BadPhone:
        raise BadAddress from None


def _username(text: str) -> str:
    name = _plain(text)
    if not name or len(name) > MAX_USERNAME or not name.isprintable():
        raise BadAddress
    return name


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text.lower())
