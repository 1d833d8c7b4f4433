"""QR codes as image files: what a resident shows, written for her, and read at a desk without a scanner that types."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.output import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_IMAGE_BYTES = 10_000_000
MAX_PIXELS = 40_000_000
_SCALE, _MARGIN = 8, 4  # pixels per module, modules of quiet zone (ISO/IEC 18004 asks for 4)


def draw_qr(text: str) -> bytes:
    """A PNG of the QR code of ``text``. Raises :class:`UsageError` where a cheap screen could not show it."""
    import segno

    from gateway.crypto.shown import MAX_QR_VERSION, QR_ERROR_LEVEL

    code = segno.make(text, error=QR_ERROR_LEVEL, micro=False, boost_error=False)
    if not isinstance(code.version, int) or code.version > MAX_QR_VERSION:
        raise UsageError("it is too much for a QR code that a cheap screen can show", "hand it over as a file")
    image = io.BytesIO()
    code.save(image, kind="png", scale=_SCALE, border=_MARGIN)
    return image.getvalue()


def read_qr(path: Path) -> str:
    """The text of the one QR code in a PNG. Raises :class:`UsageError`, which says what is wrong with the file."""
    from gateway.cli.client import read_file

    data = read_file(path, MAX_IMAGE_BYTES, "name the PNG of a QR code")
    try:
        import zxingcpp
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        remedy = "install tiergate[qr], or give the content of the code with --code"
        raise UsageError("reading images needs packages that are not installed", remedy) from error
    too_large = UsageError(f"{path} has more than {MAX_PIXELS // 1_000_000} million pixels")
    try:
        with _no_bombs(), Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.width * image.height > MAX_PIXELS:
                raise too_large
            grey = _on_white(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # beyond Pillow's own limits
        raise too_large from error
    except UnidentifiedImageError as error:
        raise UsageError(f"{path} is not a PNG image") from error
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises in the middle of a file
        raise UsageError(f"{path} is a damaged PNG image") from error
    found = zxingcpp.read_barcodes(grey, formats=zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.QRCode]))
    texts = {code.text for code in found}
    if not texts:
        raise UsageError(f"no QR code can be read in {path}", "the whole code with its white margin, sharp and upright")
    if len(texts) > 1:
        raise UsageError(f"{path} shows {len(texts)} different QR codes", "cut out the one that is meant")
    return texts.pop()


@contextlib.contextmanager
def _no_bombs() -> Iterator[None]:
    """Pillow's warning of a size that it still reads is an error here, and not a line on the screen."""
    from PIL.Image import DecompressionBombWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", DecompressionBombWarning)
        yield


def _on_white(image: Image) -> Image:
    """In shades of grey; what is transparent is white, as a screen shows it."""
    from PIL import Image as Images

    seen = image.convert("RGBA")
    white = Images.new("RGBA", seen.size, "white")
    return Images.alpha_composite(white, seen).convert("L")
