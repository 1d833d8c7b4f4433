"""Codes, devices and QR codes on the command line: a process each, against a real gateway and a real adapter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli.qr import draw_qr, read_qr
from gateway.crypto.shown import Shown, encode_shown, read_shown
from gateway.domain.handle import Handle
from tests.fakes.running import LOW, OPERATOR, SCENARIO, TOP, Ran, Running

WHAT = ("--operator", OPERATOR, "--scenario", SCENARIO)


async def _present(network: Running, *what: object, operator: str = OPERATOR) -> Ran:
    profile = network.layout.operator(operator) / "client.toml"
    return await network.run("check", "--scenario", SCENARIO, "--profile", profile, *what)


async def _issue(network: Running, *more: object, resident: str = TOP) -> Ran:
    return await network.consent("code", "issue", "--resident", resident, *WHAT, "--yes", *more)


async def _device(network: Running, name: str) -> tuple[Path, Path]:
    """A device's private key, and the public part that it hands over."""
    key, public = network.folder / f"{name}.pem", network.folder / f"{name}.jwk"
    made = await network.run("certs", "key", "--purpose", "proof", "--out", key, "--json")
    public.write_text(json.dumps(made.document["jwk"]), "utf-8")
    return key, public


async def test_a_code_is_read_out_typed_and_good_once(network: Running) -> None:
    issued = await _issue(network)
    assert issued.code == 0, issued.err
    assert "Without your consent" in issued.err
    (line,) = [line for line in issued.out.splitlines() if "QUANZHOU-" in line]
    spoken = line[line.index("QUANZHOU-") :].strip()
    assert len(spoken.split(" ")) == 3
    entitled = await _present(network, "--code", spoken, "--json")
    assert entitled.code == 0, entitled.err
    assert entitled.document["outcome"] == "entitled"
    again = await _present(network, "--code", spoken)
    assert again.code == 1
    assert "HANDLE_INVALID" in again.err
    retried = await _present(network, "--code", spoken, "--request-id", entitled.document["request_id"], "--json")
    assert retried.document["decision_id"] == entitled.document["decision_id"]


async def test_a_typing_mistake_is_found_at_the_desk(network: Running) -> None:
    handle = (await _issue(network, "--json")).document["handle"]
    wrong = handle[:-1] + ("2" if handle[-1] != "2" else "3")
    done = await _present(network, "--code", wrong)
    assert done.code == 2
    assert "check character" in done.err
    assert (await _present(network, "--code", handle.upper(), "--json")).document["outcome"] == "entitled"


async def test_a_code_as_a_qr_code(network: Running) -> None:
    file = network.folder / "code.png"
    issued = await _issue(network, "--qr", file, "--json")
    assert issued.code == 0, issued.err
    assert file.stat().st_mode & 0o777 == 0o600
    shown = read_shown(read_qr(file))
    assert isinstance(shown, Handle)
    assert shown.text == issued.document["handle"]
    assert len(shown.code) == 27
    done = await _present(network, "--qr", file, "--json")
    assert done.code == 0, done.err
    assert done.document["outcome"] == "entitled"
    assert (await _issue(network, "--qr", file)).code == 2  # it exists


async def test_a_code_of_somebody_below_the_tier_is_no_error(network: Running) -> None:
    issued = await _issue(network, "--json", resident=LOW)
    done = await _present(network, "--code", issued.document["handle"], "--json")
    assert (done.code, done.document["outcome"]) == (0, "ordinary")


async def test_a_code_lives_as_long_as_asked_and_is_not_issued_without_a_yes(network: Running) -> None:
    assert (await _issue(network, "--minutes", 11)).code == 2
    assert (await _issue(network, "--minutes", 1, "--json")).code == 0
    refused = await network.consent("code", "issue", "--resident", TOP, *WHAT)
    assert refused.code == 2
    assert "Does the resident agree?" in refused.err


async def test_a_token_as_a_qr_code(network: Running) -> None:
    file = network.folder / "token.png"
    granted = await network.consent("grant", "--resident", TOP, *WHAT, "--uses", 2, "--yes", "--qr", file, "--json")
    assert granted.code == 0, granted.err
    assert read_shown(read_qr(file)) == Shown(granted.document["token"], "")
    for _ in range(2):
        assert (await _present(network, "--qr", file, "--json")).document["outcome"] == "entitled"
    assert "USES_EXHAUSTED" in (await _present(network, "--qr", file)).err


@pytest.mark.parametrize("uses", [("--uses", 3), ()], ids=["counted", "unlimited"])
async def test_a_device_bound_consent_from_grant_to_replay(network: Running, uses: tuple[object, ...]) -> None:
    key, public = await _device(network, f"device-{len(uses)}")
    _, token = await network.granted(f"device-{len(uses)}.jwt", *uses, "--device-key", public)
    listed = await network.consent("list", "--resident", TOP, "--json")
    assert listed.document["consents"][0]["binding"] == "device"

    stolen = await _present(network, "--token-file", token)
    assert "PROOF_REQUIRED" in stolen.err
    file = network.folder / f"presented-{len(uses)}.png"
    shown = await network.run("consent", "present", "--token-file", token, "--key", key, "--qr", file)
    assert shown.code == 0, shown.err
    entitled = await _present(network, "--qr", file, "--json")
    assert entitled.code == 0, entitled.err
    assert entitled.document["outcome"] == "entitled"
    replayed = await _present(network, "--qr", file)
    assert replayed.code == 1
    assert "PROOF_REPLAYED" in replayed.err

    typed = await network.run("consent", "present", "--token-file", token, "--key", key)
    assert (await _present(network, "--code", typed.out.strip(), "--json")).document["outcome"] == "entitled"
    thief, _ = await _device(network, f"thief-{len(uses)}")
    forged = await network.run("consent", "present", "--token-file", token, "--key", thief)
    assert "PROOF_INVALID" in (await _present(network, "--code", forged.out.strip())).err


async def test_a_device_key_is_made_for_one_resident_and_operator(network: Running) -> None:
    _, public = await _device(network, "shared")
    await network.granted("shared.jwt", "--uses", 1, "--device-key", public)
    other = await network.consent(
        "grant", "--resident", LOW, *WHAT, "--uses", 1, "--device-key", public, "--yes", "--print-token"
    )
    assert other.code == 1
    assert "DEVICE_KEY_REUSED" in other.err


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("no json", "is not a JWK"),
        ("[]", "is not a JWK"),
        ('{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"AA"}', "private key"),
        ('{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}', "not a usable key"),
        ('{"kty":"EC","crv":"P-256","x":1,"y":"AA"}', "no text"),
        ('{"kty":"RSA","n":"AA","e":"AQAB"}', "not a usable key"),
    ],
)
async def test_a_file_that_is_no_device_key_says_why(network: Running, content: str, says: str) -> None:
    file = network.folder / "bad.jwk"
    file.write_text(content, "utf-8")
    done = await network.consent("preview", *WHAT, "--uses", 1, "--device-key", file)
    assert done.code == 2
    assert says in done.err


async def test_binding_and_device_key_go_together(network: Running) -> None:
    _, public = await _device(network, "alone")
    for terms in (("--binding", "device"), ("--binding", "none", "--uses", 1, "--device-key", public)):
        assert (await network.consent("preview", *WHAT, *terms)).code == 2


async def test_what_is_presented_is_one_thing_that_can_be_read(network: Running, tmp_path: Path) -> None:
    assert (await _present(network)).code == 2
    assert (await _present(network, "--code", "x", "--token-file", "y")).code == 2
    missing = await _present(network, "--qr", tmp_path / "nowhere.png")
    assert missing.code == 2
    assert "cannot be read" in missing.err
    other = tmp_path / "other.png"
    other.write_bytes(draw_qr("HTTPS://EXAMPLE.INVALID/"))
    done = await _present(network, "--qr", other)
    assert done.code == 2
    assert "cannot be right" in done.err
    damaged = encode_shown(Shown((await network.granted("damaged.jwt", "--uses", 1))[1].read_text().strip(), ""))[:-9]
    assert "damaged" in (await _present(network, "--code", damaged)).err
