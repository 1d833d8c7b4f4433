"""One-time codes for people without a phone: ``<city>-<code>``, issued and redeemed by the home city.

A code is drawn from 31 characters, none of which is taken for another at a glance: no 0 1 i l o. Its last character is
a check character, so that a mistyped code is known before it is sent: the values of all characters, each times its
place (from 1), add up to a multiple of 31. As 31 is prime and no code is as long as that, one wrong character and two
exchanged ones are always found. A code to be typed has 11 random characters (54.5 bits), one in a QR code 26 (128.8).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from gateway.domain.ids import SLUG, CityId
from gateway.errors import Reason, TiergateError

ALPHABET: Final = "23456789abcdefghjkmnpqrstuvwxyz"
HandleForm = Literal["typed", "qr"]
RANDOM_CHARS: Final[dict[HandleForm, int]] = {"typed": 11, "qr": 26}
MAX_HANDLE_S: Final = 600
"""No code lives longer, in seconds."""
_VALUES: Final = {character: value for value, character in enumerate(ALPHABET)}
_GROUP = 4


@dataclass(frozen=True, slots=True, repr=False)
class Handle:
    """A handle in its two parts. It has no ``repr``: it is a secret of its holder."""

    city: CityId
    code: str

    @property
    def text(self) -> str:
        """As it is presented."""
        return f"{self.city}-{self.code}"

    def spoken(self) -> str:
        """For people: the code in capitals, in groups of four."""
        groups = (self.code[start : start + _GROUP] for start in range(0, len(self.code), _GROUP))
        return f"{self.city}-{' '.join(groups)}".upper()


def _weighed(code: str) -> int:
    return sum(place * _VALUES[character] for place, character in enumerate(code, start=1)) % len(ALPHABET)


def new_handle(city: CityId, form: HandleForm, draw: Callable[[str], str]) -> Handle:
    """A new handle; ``draw`` picks one character of a string at random (``secrets.choice``)."""
    random = "".join(draw(ALPHABET) for _ in range(RANDOM_CHARS[form]))
    (last,) = (character for character in ALPHABET if _weighed(random + character) == 0)
    return Handle(city, random + last)


def parse_handle(text: str) -> Handle:
    """The two parts of a handle as presented; HANDLE_INVALID if there are not two. The code is looked at no further."""
    city, hyphen, code = text.rpartition("-")
    if not hyphen or not code or not SLUG.match(city):
        raise TiergateError(Reason.HANDLE_INVALID, "form")
    return Handle(CityId(city), code)


def read_typed(text: str) -> Handle:
    """A handle as people type it: in either case, with spaces anywhere. ValueError says what is wrong with it."""
    joined = "".join(text.split()).lower()
    city, hyphen, code = joined.rpartition("-")
    if not hyphen or not SLUG.match(city):
        raise ValueError("it does not begin with a city and a hyphen, as in fuzhou-…")
    strange = sorted(set(code) - set(ALPHABET))
    if strange:
        raise ValueError(f"no code has {', '.join(strange)} in it (there is no 0, 1, i, l or o)")
    if len(code) - 1 not in RANDOM_CHARS.values():
        raise ValueError(f"a code has {' or '.join(str(n + 1) for n in RANDOM_CHARS.values())} characters")
    if _weighed(code):
        raise ValueError("its check character does not fit: one or two characters are mistyped")
    return Handle(CityId(city), code)
