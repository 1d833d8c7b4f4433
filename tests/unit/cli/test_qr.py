"""QR codes as files: written as small as they can be, read as a cheap screen shows them, refused in words."""

from __future__ import annotations

import io
import secrets
import struct
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image, ImageFilter

from gateway.cli.output import UsageError
from gateway.cli.qr import draw_qr, read_qr
from gateway.crypto.shown import encode_handle
from gateway.domain.handle import new_handle
from gateway.domain.ids import CityId

HANDLE = encode_handle(new_handle(CityId("fuzhou"), "qr", secrets.choice))
PRESENTATION = f"TG1P:{'UJCLQE7W581 $%*+-./:'.ljust(565, 'X')}."
"""As long as a device's presentation is."""


def _image(text: str) -> Image.Image:
    return Image.open(io.BytesIO(draw_qr(text))).convert("L")


def _save(image: Image.Image, path: Path, kind: str = "PNG") -> Path:
    image.save(path, format=kind)
    return path


@pytest.mark.parametrize("text", [HANDLE, PRESENTATION], ids=["handle", "presentation"])
def test_what_is_drawn_is_read_back(text: str, tmp_path: Path) -> None:
    file = tmp_path / "code.png"
    file.write_bytes(draw_qr(text))
    assert read_qr(file) == text


def test_the_whole_alphabet_is_drawn_in_the_dense_mode() -> None:
    (found,) = zxingcpp.read_barcodes(
        _image(PRESENTATION), formats=zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.QRCode])
    )
    assert found.text == PRESENTATION
    side = _image(PRESENTATION).width / 8 - 2 * 4
    assert side <= 77  # version 15; in the mode for bytes it would be 89


def _small(image: Image.Image) -> Image.Image:
    """Two pixels a module, as a photograph of a small screen has them."""
    return image.resize((image.width // 4, image.height // 4), Image.Resampling.BILINEAR)


def _blurred(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(3))


def _grey_on_grey(image: Image.Image) -> Image.Image:
    return image.point(lambda value: 90 + value // 4)


def _turned(image: Image.Image) -> Image.Image:
    return image.rotate(7, expand=True, fillcolor=255).transpose(Image.Transpose.ROTATE_90)


def _with_glare(image: Image.Image) -> Image.Image:
    """A white spot over 3 % of it: what the error level is for."""
    side = image.width // 6
    image.paste(255, (image.width // 2, image.height // 2, image.width // 2 + side, image.height // 2 + side))
    return image


def _dark_mode(image: Image.Image) -> Image.Image:
    return image.point(lambda value: 255 - value)


@pytest.mark.parametrize("text", [HANDLE, PRESENTATION], ids=["handle", "presentation"])
@pytest.mark.parametrize("shown", [_small, _blurred, _grey_on_grey, _turned, _with_glare, _dark_mode])
def test_it_is_read_as_a_cheap_screen_shows_it(
    text: str, shown: Callable[[Image.Image], Image.Image], tmp_path: Path
) -> None:
    assert read_qr(_save(shown(_image(text)), tmp_path / "photo.png")) == text


def test_black_on_transparent_is_read(tmp_path: Path) -> None:
    code = _image(HANDLE)
    clear = Image.new("RGBA", code.size, (0, 0, 0, 0))
    clear.paste((0, 0, 0, 255), (0, 0), code.point(lambda value: 255 - value))
    assert read_qr(_save(clear, tmp_path / "clear.png")) == HANDLE


def test_what_no_cheap_screen_can_show_is_not_drawn() -> None:
    with pytest.raises(UsageError, match="too much"):
        draw_qr("A" * 1000)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a PNG"),
        (b"no picture at all", "not a PNG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (draw_qr(HANDLE)[:200], "damaged"),
    ],
    ids=["empty", "text", "a signature alone", "half a file"],
)
def test_a_file_that_is_no_image_says_so(content: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.png"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=says):
        read_qr(file)


def test_other_kinds_of_image_are_not_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a PNG"):
        read_qr(_save(_image(HANDLE), tmp_path / "code.jpg", "JPEG"))


def test_an_image_without_a_code_says_so(tmp_path: Path) -> None:
    code = _image(HANDLE)
    half = code.crop((0, 0, code.width, code.height // 2))
    for number, image in enumerate((Image.new("L", (200, 200), 255), half)):
        with pytest.raises(UsageError, match="no QR code"):
            read_qr(_save(image, tmp_path / f"{number}.png"))


def test_two_codes_are_one_too_many(tmp_path: Path) -> None:
    one, two = _image(HANDLE), _image(HANDLE.replace("FUZHOU", "XIAMEN"))
    both = Image.new("L", (one.width + two.width, max(one.height, two.height)), 255)
    both.paste(one, (0, 0))
    both.paste(two, (one.width, 0))
    with pytest.raises(UsageError, match="2 different"):
        read_qr(_save(both, tmp_path / "two.png"))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("side", [8000, 10_000, 13_000, 20_000, 2**31 - 1])
def test_an_image_that_would_fill_the_memory_is_refused_unread(tmp_path: Path, side: int) -> None:
    """Pillow warns of some of them, and refuses others itself; all that is seen is that they are too large."""
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0")),
        (b"IEND", b""),
    )
    path = tmp_path / "vast.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts))
    with warnings.catch_warnings(record=True) as shown, pytest.raises(UsageError, match="more than 40 million pixels"):
        read_qr(path)
    assert shown == []


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zxingcpp", None)
    with pytest.raises(UsageError) as caught:
        read_qr(_save(_image(HANDLE), tmp_path / "code.png"))
    assert "tiergate[qr]" in caught.value.remedy
    assert "--code" in caught.value.remedy
