"""The standard score export: a CSV file whose last line proves that it is whole.

The file is UTF-8 (with or without BOM) or GB18030 text: a header line, one line per resident (RFC 4180 quoting), and
the footer ``# rows=<n> sha256=<64 hex digits>``, where ``n`` counts the residents' lines and the digest is of every
byte before the footer. A file that is still being written, or was cut, has no footer or a wrong one.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

from gateway.errors import Reason, TiergateError
from gateway.files import write_whole

Encoding = Literal["auto", "utf-8", "gb18030"]
MAX_LINE_BYTES: Final = 65_536
_FOOTER: Final = re.compile(rb"# rows=([0-9]{1,12}) sha256=([0-9a-f]{64})\r?\n?\Z")
_FOOTER_BYTES: Final = 256
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a checked footer says: where the text ends (bytes), how many rows it holds, how it is encoded."""

    end: int
    rows: int
    encoding: Literal["utf-8", "gb18030"]


def check_seal(file: BinaryIO, size: int, encoding: Encoding) -> Sealed:
    """Compare an export with its footer. Raises PLATFORM_UNAVAILABLE: no footer, or other bytes than it vouches for."""
    file.seek(max(0, size - _FOOTER_BYTES))
    tail = file.read(_FOOTER_BYTES)
    start = tail.rstrip(b"\r\n").rfind(b"\n") + 1
    footer = _FOOTER.match(tail[start:])
    if footer is None or start == 0:
        raise _broken("it does not end with the footer line, so it is not whole")
    end = size - len(tail) + start
    digest = hashlib.sha256()
    decoder: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")()
    file.seek(0)
    left = end
    while left:
        chunk = file.read(min(_CHUNK, left))
        if not chunk:
            raise _broken("it shrank while it was read")
        left -= len(chunk)
        digest.update(chunk)
        if decoder is not None and encoding == "auto":
            try:
                decoder.decode(chunk, final=left == 0)
            except UnicodeDecodeError:
                decoder = None
    if digest.hexdigest().encode() != footer[2]:
        raise _broken("its bytes are not those that the footer vouches for")
    if encoding == "auto":
        encoding = "gb18030" if decoder is None else "utf-8"
    return Sealed(end, int(footer[1]), encoding)


def read_rows(file: BinaryIO, sealed: Sealed, delimiter: str) -> Iterator[list[str]]:
    """Header and rows of a checked export. Raises PLATFORM_UNAVAILABLE for text that is not CSV in its encoding."""
    file.seek(0)
    try:
        yield from csv.reader(_lines(file, sealed), delimiter=delimiter, strict=True)
    except (csv.Error, UnicodeDecodeError) as error:
        raise _broken(f"it is not CSV in {sealed.encoding} ({type(error).__name__})") from error


def _lines(file: BinaryIO, sealed: Sealed) -> Iterator[str]:
    # Neither encoding uses the bytes of CR and LF inside a character, so lines can be cut before they are decoded.
    if file.read(3) != codecs.BOM_UTF8:
        file.seek(0)
    while (left := sealed.end - file.tell()) > 0:
        line = file.readline(min(left, MAX_LINE_BYTES + 1))
        if len(line) > MAX_LINE_BYTES:
            raise _broken("a line is too long")
        yield line.decode(sealed.encoding)


def write_export(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[object]], encoding: str = "utf-8", delimiter: str = ","
) -> None:
    """Write a sealed export beside ``path`` and move it into place, so that a reader sees the old file or the new one.

    ``encoding`` is ``utf-8``, ``utf-8-sig`` (with BOM) or ``gb18030``. Raises OSError.
    """
    count = 0
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(row)
        count += 1
    content = text.getvalue().encode(encoding)
    write_whole(path, content + b"# rows=%d sha256=%s\n" % (count, hashlib.sha256(content).hexdigest().encode()))


def _broken(what: str) -> TiergateError:
    return TiergateError(Reason.PLATFORM_UNAVAILABLE, f"the export cannot be used: {what}")
