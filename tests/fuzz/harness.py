"""What a harness is, and the one judgement that holds for all of them."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gateway.errors import CATALOGUE, TiergateError


@dataclass(frozen=True)
class Harness:
    """Feeds bytes to functions of the product.

    ``run`` returns whether the bytes were taken, lets a :class:`TiergateError` through, and fails by any other
    exception (an AssertionError where a round trip does not hold). ``covers`` are the functions that it calls;
    ``seeds`` are made by the product's own encoders, and the first of them is taken. ``longest``: bytes. ``stored``:
    whether seeds may lie in the repository, where nothing may that looks like a private key.
    """

    name: str
    covers: tuple[Callable[..., Any], ...]
    run: Callable[[bytes], bool]
    seeds: Callable[[], Iterable[bytes]]
    longest: int = 4096
    stored: bool = True

    def attempt(self, data: bytes) -> bool:
        """Whether ``data`` is taken. Raises whatever may not happen."""
        try:
            return self.run(data)
        except TiergateError as error:
            assert error.public_text == CATALOGUE[error.reason].text  # noqa: PT017 - it is what is judged
            str(error).encode("utf-8", "surrogateescape")
            return False


def name_of(function: Callable[..., Any]) -> str:
    """Module and qualified name of a function or method."""
    function = getattr(function, "__func__", function)
    return f"{function.__module__}.{function.__qualname__}"


@contextmanager
def documented(*kinds: type[Exception]) -> Iterator[None]:
    """For functions whose docstring names another error than ours: it ends the attempt as a refusal."""
    try:
        yield
    except kinds as error:
        raise Refused from error


class Refused(TiergateError):  # noqa: N818 - a verdict
    """What was given is refused by a documented error of another type."""

    def __init__(self) -> None:
        from gateway.errors import Reason

        super().__init__(Reason.MALFORMED_REQUEST)


def text_of(data: bytes) -> str:
    """Bytes as text, whatever they are: those that are no UTF-8 become lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


@cache
def scratch() -> Path:
    """A folder for what can only be read from a file; it goes with the process."""
    folder = Path(tempfile.mkdtemp(prefix="tiergate-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def file_of(name: str, data: bytes) -> Path:
    """A file that only its owner can read, with these bytes."""
    path = scratch() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(data)
    return path


def framed(data: bytes, kinds: int) -> tuple[int, bytes]:
    """A choice among ``kinds`` from the first byte, and the rest."""
    return (data[0] % kinds, data[1:]) if data else (0, b"")
