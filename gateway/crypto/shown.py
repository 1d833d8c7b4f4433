"""What a resident shows at a desk, as the text of a QR code: a one-time code, or a consent token with its proof.

``TG1H:`` and a handle in capitals, or ``TG1P:``, a packed token with or without a proof in base45 (RFC 9285), and a
full stop. Both are of QR's alphanumeric mode, which every scanner returns unchanged, at 5.5 bits a character.

A device-bound presentation is carried whole: a mere reference would need somebody who holds tokens and is asked. To be
small it is packed without loss. Of each JWS go header and payload as JSON, in which what cannot be compressed stands
outside as bytes (identifiers, digests, coordinates) and what the other half implies is left out: the token's hash in
the proof, the key's thumbprint in the token, and y of the key, which follows from x but for its parity. What remains is
deflated with a dictionary of the words that such tokens consist of.

Measured (tests hold it): a device-bound token of 800 to 815 characters with its proof of 470 to 540 makes 565 to 585
characters, QR version 15 at error level M, 77 modules a side; a token alone, of 710, makes 380, version 12 or 13; a
handle 2 (typed) or 3. ``MAX_QR_VERSION`` is what a cheap screen still shows: 97 modules and their margin of 8 are 0.38
mm each on 40 mm. A token of more scenarios than fit is shown by its city's app in another way.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from gateway.crypto import jws
from gateway.crypto.consent import token_hash
from gateway.crypto.keys import b64url, thumbprint
from gateway.domain.handle import Handle, read_typed
from gateway.errors import TiergateError

MAX_QR_VERSION: Final = 20
QR_ERROR_LEVEL: Final = "m"
"""15 % of the symbol may be lost to scratches and glare."""

_HANDLE, _PRESENTATION = "TG1H:", "TG1P:"
_STOP = "."  # a space is a character of base45, and would be lost at an end
_BASE45: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
_SIGNATURE_BYTES = 64
_MAX_UNPACKED = 8192
# Stand for a value in the JSON, in which raw control characters cannot occur (RFC 8259, section 7).
_B32, _B16, _HEX32, _ATH, _JKT, _Y_EVEN, _Y_ODD = "\x01\x02\x03\x04\x05\x06\x07"
_END = "\x00"
_VALUE = re.compile(r'"(?:([A-Za-z0-9_-]{43})|([A-Za-z0-9_-]{22})|([0-9a-f]{64}))"')
# part of the format: never changed but with a new prefix
_WORDS: Final = (
    f'"kid":"EdDSA"xiamenfuzhouquanzhou-library-consent-1","typ":"consent+jwt"}}{_END}{{"alg":"ES256","jwk":{{"crv":'
    f'"Ed25519","kty":"OKP","x":"{_B32}"}}"crv":"P-256","kty":"EC","x":"{_B32}","y":"{_Y_ODD}"}},"typ":"consent-proof'
    f'+jwt"}}{_END}{{"iss":"","aud":"","sub":"{_B32}","azp":"","authorization_details":[{{"type":"incentive_check",'
    f'"scenario":"","purpose":"-loan"}}],"iat":18,"nbf":18,"exp":18,"jti":"{_B16}","notice":"{_HEX32}","uses":1,"cnf":'
    f'{{"jkt":"{_JKT}","holder":"device"}}}}{_END}{{"ath":"{_ATH}","operator":"","scenario":"","iat":18,"jti":"{_B16}"'
    f"}}"
).encode("ascii")


@dataclass(frozen=True, slots=True, repr=False)
class Shown:
    """A token and its proof (or ""), both JWS compact. It has no ``repr``: a token is a secret."""

    token: str
    proof: str


def encode_handle(handle: Handle) -> str:
    """The text of a handle's QR code."""
    return f"{_HANDLE}{handle.text.upper()}"


def encode_shown(shown: Shown) -> str:
    """The text of a presentation's QR code. ValueError for what is no token or proof of ours."""
    text = _PRESENTATION + _to_base45(_pack(shown)) + _STOP
    if read_shown(text) != shown:
        raise ValueError("it cannot be packed without loss")
    return text


def read_shown(text: str) -> Handle | Shown:
    """What a scanner read, or somebody typed. ValueError says in words what is wrong; nothing is verified."""
    text = text.strip()
    if text.startswith(_HANDLE):
        return read_typed(text.removeprefix(_HANDLE))
    if not text.startswith(_PRESENTATION):
        return read_typed(text)
    try:
        if not text.endswith(_STOP):
            raise ValueError("end")
        return _unpack(_from_base45(text[len(_PRESENTATION) : -len(_STOP)]))
    except (ValueError, KeyError, IndexError, zlib.error, TiergateError) as error:
        raise ValueError("the content of the QR code is damaged or of a version that is not known here") from error


# -- packing ----------------------------------------------------------------------------------------------------------


def _parts(text: str) -> tuple[str, str, bytes]:
    """Header and payload as text, and the signature. ValueError for anything but three segments of the right kind."""
    header, payload, signature = (jws.decode_segment(part) for part in text.encode("ascii").split(b"."))
    if len(signature) != _SIGNATURE_BYTES:
        raise ValueError("signature")
    read = header.decode("utf-8"), payload.decode("utf-8")
    if any(character < " " and character not in "\t\n\r" for part in read for character in part):
        raise ValueError("control characters")
    return *read, signature


def _join(header: str, payload: str, signature: bytes) -> str:
    return ".".join(b64url(part) for part in (header.encode(), payload.encode(), signature))


def _pack(shown: Shown) -> bytes:
    token_header, token_payload, token_signature = _parts(shown.token)
    implied: dict[str, str] = {}
    texts, signatures = [token_header, token_payload], token_signature
    blobs: list[bytes] = []
    if shown.proof:
        proof_header, proof_payload, proof_signature = _parts(shown.proof)
        signatures += proof_signature
        implied[b64url(token_hash(shown.token))] = _ATH
        jkt = _thumbprint(proof_header)
        if jkt:
            implied[jkt] = _JKT
        texts = [proof_header, *texts, proof_payload]
    skeleton = _END.join(_take_out(text, implied, blobs) for text in texts).encode("utf-8")
    deflate = zlib.compressobj(level=9, method=zlib.DEFLATED, wbits=-15, memLevel=9, zdict=_WORDS)
    packed = deflate.compress(skeleton) + deflate.flush()
    return len(packed).to_bytes(2, "big") + packed + signatures + b"".join(blobs)


def _take_out(text: str, implied: dict[str, str], blobs: list[bytes]) -> str:
    """``text`` with signs in place of values; their bytes go to ``blobs``, in the order of the signs."""

    def sign_for(found: re.Match[str]) -> str:
        value = found[0][1:-1]
        if value in implied:
            return f'"{implied[value]}"'
        if found[3]:
            blobs.append(bytes.fromhex(value))
            return f'"{_HEX32}"'
        try:
            raw = jws.decode_segment(value.encode("ascii"))
        except ValueError:
            return found[0]  # no base64url of whole bytes: it stays as it is
        for sign in (_Y_EVEN, _Y_ODD) if found[1] and blobs else ():
            if _y_of(blobs[-1], sign) == raw:
                return f'"{sign}"'
        blobs.append(raw)
        return f'"{_B32 if found[1] else _B16}"'

    return _VALUE.sub(sign_for, text)


def _unpack(data: bytes) -> Shown:
    size = int.from_bytes(data[:2], "big")
    inflate = zlib.decompressobj(wbits=-15, zdict=_WORDS)
    skeleton = inflate.decompress(data[2 : 2 + size], _MAX_UNPACKED)
    if not inflate.eof or inflate.unused_data:
        raise ValueError("length")
    texts = skeleton.decode("utf-8").split(_END)
    if len(texts) not in {2, 4}:
        raise ValueError("parts")
    rest = data[2 + size :]
    signatures = [rest[:_SIGNATURE_BYTES]]
    if len(texts) == 4:
        signatures.append(rest[_SIGNATURE_BYTES : 2 * _SIGNATURE_BYTES])
    blobs = _Blobs(rest[_SIGNATURE_BYTES * len(signatures) :])
    implied: dict[str, str] = {}
    if len(texts) == 2:
        header, payload = (_put_back(text, implied, blobs) for text in texts)
        shown = Shown(_join(header, payload, signatures[0]), "")
    else:
        proof_header = _put_back(texts[0], implied, blobs)
        implied[_JKT] = _thumbprint(proof_header)
        header, payload = (_put_back(text, implied, blobs) for text in texts[1:3])
        token = _join(header, payload, signatures[0])
        implied[_ATH] = b64url(token_hash(token))
        shown = Shown(token, _join(proof_header, _put_back(texts[3], implied, blobs), signatures[1]))
    if len(signatures[-1]) != _SIGNATURE_BYTES or blobs.left:
        raise ValueError("length")
    return shown


class _Blobs:
    """The bytes that signs stand for, taken in order."""

    def __init__(self, data: bytes) -> None:
        self.left = data
        self.last = b""

    def take(self, size: int) -> bytes:
        if len(self.left) < size:
            raise ValueError("length")
        self.last, self.left = self.left[:size], self.left[size:]
        return self.last


def _put_back(text: str, implied: dict[str, str], blobs: _Blobs) -> str:
    def values() -> Iterator[str]:
        for character in text:
            if character in {_B32, _B16}:
                yield b64url(blobs.take(32 if character == _B32 else 16))
            elif character == _HEX32:
                yield blobs.take(32).hex()
            elif character in {_Y_EVEN, _Y_ODD}:
                yield b64url(_y_of(blobs.last, character))
            elif character in {_ATH, _JKT}:
                yield implied[character]
            else:
                yield character

    return "".join(values())


def _thumbprint(proof_header: str) -> str:
    """Of the key that a proof carries; empty when it carries none."""
    jwk = jws.strict_object(proof_header.encode("utf-8")).get("jwk")
    if not isinstance(jwk, dict) or not all(isinstance(value, str) for value in jwk.values()):
        return ""
    return thumbprint(jwk)


def _y_of(x: bytes, sign: str) -> bytes:
    """The coordinate that belongs to ``x`` on P-256, of the parity that the sign says; empty when there is none."""
    try:
        point = ec.EllipticCurvePublicKey.from_encoded_point(
            ec.SECP256R1(), (b"\x02" if sign == _Y_EVEN else b"\x03") + x
        )
    except ValueError:
        return b""
    return point.public_numbers().y.to_bytes(32, "big")


# -- base45 -----------------------------------------------------------------------------------------------------------


def _to_base45(data: bytes) -> str:
    characters: list[str] = []
    for start in range(0, len(data), 2):
        pair = data[start : start + 2]
        value = int.from_bytes(pair, "big")
        for _ in range(len(pair) + 1):
            value, digit = divmod(value, 45)
            characters.append(_BASE45[digit])
    return "".join(characters)


def _from_base45(text: str) -> bytes:
    data = bytearray()
    for start in range(0, len(text), 3):
        digits = [_BASE45.index(character) for character in text[start : start + 3]]
        if len(digits) == 1:
            raise ValueError("length")
        value = sum(digit * 45**place for place, digit in enumerate(digits))
        if value >= 256 ** (len(digits) - 1):
            raise ValueError("not base45")
        data += value.to_bytes(len(digits) - 1, "big")
    return bytes(data)
