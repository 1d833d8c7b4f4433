from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.casework import Deadlines
from gateway.cli.localnet.provision import Network
from gateway.cli.options import PROFILE_VARIABLE
from gateway.crypto.envelope import DIRECTORY_TYPE, sign, verify
from gateway.crypto.keys import generate_signing_key, load_private_key, write_private_key
from gateway.crypto.root_files import read_root
from gateway.domain.directory import Directory
from gateway.policy.directory import build_directory, read_directory
from tests.unit.cli.conftest import Run


def examined(run: Run, option: str, path: Path, code: int = 1) -> list[dict[str, Any]]:
    done = run("doctor", option, path, "--json")
    assert done.code == code, done.err
    assert done.document["ok"] is (code == 0)
    findings: list[dict[str, Any]] = done.document["findings"]
    assert all(item["remedy"] for item in findings if item["state"] != "ok")
    return findings


def problems(findings: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(item["check"], item["message"]) for item in findings if item["state"] == "problem"]


def operator(network: Network) -> Path:
    return network.layout.operator("xiamen-library") / "client.toml"


def change_directory(network: Network, change: Callable[[Directory], Directory]) -> None:
    """Sign the directory anew, changed."""
    shared = network.layout.shared
    payload = verify(read_root(shared / "root.json"), DIRECTORY_TYPE, (shared / "directory.json").read_bytes())
    keys = [load_private_key(key) for key in network.layout.signing_keys]
    changed = build_directory(change(read_directory(payload)))
    (shared / "directory.json").write_bytes(sign(DIRECTORY_TYPE, changed, keys))


@pytest.mark.parametrize("who", ["operator", "auditor", "app", "gateway", "adapter"])
def test_with_sound_files_only_the_peer_is_missing(run: Run, network: Network, who: str) -> None:
    layout = network.layout
    option, path = {
        "operator": ("--profile", operator(network)),
        "auditor": ("--profile", layout.auditor / "client.toml"),
        "app": ("--profile", layout.app("quanzhou") / "client.toml"),
        "gateway": ("--config", layout.gateway / "gateway.toml"),
        "adapter": ("--config", layout.city("quanzhou") / "adapter.toml"),
    }[who]
    findings = examined(run, option, path)
    ((check, message),) = problems(findings)
    assert check == "peer"
    assert "PEER_UNREACHABLE" in message
    looked_at = {item["check"] for item in findings}
    assert {"directory", "bundle", "certificate", "clock"} <= looked_at
    assert ("disk" in looked_at) == (who in {"gateway", "adapter"})
    assert ("key" in looked_at) == (who in {"operator", "gateway", "adapter"})


def test_an_adapter_that_knows_no_holidays_of_its_deadlines_is_warned(run: Run, network: Network) -> None:
    settings = network.layout.city("quanzhou") / "adapter.toml"
    (found,) = [item for item in examined(run, "--config", settings) if item["check"] == "calendar"]
    years = Deadlines().uncovered(int(time.time()))
    assert found["state"] == "warning"
    assert all(str(year) in found["message"] for year in years)
    assert "State Council" in found["remedy"]
    days = ", ".join(f"{year}-10-01" for year in years)
    settings.write_text(f"{settings.read_text('utf-8')}\n[cases]\nholidays = [{days}]\n", "utf-8")
    (found,) = [item for item in examined(run, "--config", settings) if item["check"] == "calendar"]
    assert found["state"] == "ok"


def test_the_table_names_a_remedy(run: Run, network: Network) -> None:
    done = run("doctor", "--profile", operator(network))
    assert done.code == 1
    assert "is the peer running" in done.out
    assert "1 problem(s)" in done.out


def test_the_profile_may_come_from_the_environment(run: Run, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROFILE_VARIABLE, str(operator(network)))
    assert run("doctor").code == 1


def test_either_profile_or_settings(run: Run, network: Network) -> None:
    config = network.layout.gateway / "gateway.toml"
    assert run("doctor", "--profile", operator(network), "--config", config).code == 2
    assert run("doctor", "--config", config.with_name("nowhere.toml")).code == 2


def test_an_expired_directory(run: Run, network: Network) -> None:
    now = int(time.time())
    change_directory(network, lambda known: replace(known, issued=now - 7200, expires=now - 3600))
    assert any(
        check == "directory" and "expired" in text
        for check, text in problems(examined(run, "--profile", operator(network)))
    )


def test_a_directory_that_expires_soon_is_a_warning(run: Run, network: Network) -> None:
    change_directory(network, lambda known: replace(known, expires=int(time.time()) + 3600))
    findings = examined(run, "--profile", operator(network))
    assert [item["check"] for item in findings if item["state"] == "warning"] == ["directory"]


def test_a_directory_from_the_future_is_a_matter_of_the_clock(run: Run, network: Network) -> None:
    now = int(time.time())
    change_directory(network, lambda known: replace(known, issued=now + 3600, expires=now + 7200))
    assert "clock" in {check for check, _ in problems(examined(run, "--profile", operator(network)))}


def test_an_unsigned_directory(run: Run, network: Network) -> None:
    path = network.layout.shared / "directory.json"
    path.write_bytes(path.read_bytes().replace(b'"sig":"', b'"sig":"AA'))
    assert [check for check, _ in problems(examined(run, "--profile", operator(network)))] == ["directory"]


def test_a_missing_root(run: Run, network: Network) -> None:
    (network.layout.shared / "root.json").unlink()
    assert [check for check, _ in problems(examined(run, "--profile", operator(network)))] == ["root"]


def test_a_bundle_that_is_none(run: Run, network: Network) -> None:
    (network.layout.shared / "bundle.json").write_text("{}", "utf-8")
    assert "bundle" in {check for check, _ in problems(examined(run, "--profile", operator(network)))}


def test_a_participant_that_the_directory_does_not_list(run: Run, network: Network) -> None:
    change_directory(network, lambda known: replace(known, operators={}))
    texts = " ".join(text for _, text in problems(examined(run, "--profile", operator(network))))
    assert "lists no operator xiamen-library" in texts
    assert "does not list this proof key" in texts


def test_a_certificate_of_another_participant(run: Run, network: Network) -> None:
    path = operator(network)
    other = network.layout.operator("fuzhou-metro") / "tls"
    text = path.read_text("utf-8")
    for name in ("cert", "key"):
        text = text.replace(f'{name} = "tls/{name}.pem"', f"{name} = {json.dumps(str(other / f'{name}.pem'))}")
    path.write_text(text, "utf-8")
    assert any("URI SAN" in text for _, text in problems(examined(run, "--profile", path)))


def test_keys_that_others_can_read(run: Run, network: Network) -> None:
    (network.layout.operator("xiamen-library") / "proof.key").chmod(0o644)
    (network.layout.gateway / "log.key").chmod(0o644)
    for option, path in (("--profile", operator(network)), ("--config", network.layout.gateway / "gateway.toml")):
        assert any(check == "key" and "others" in text for check, text in problems(examined(run, option, path)))


def test_another_key_than_the_directory_lists(run: Run, network: Network) -> None:
    path = network.layout.city("quanzhou") / "keys" / "event.key"
    path.unlink()
    write_private_key(path, generate_signing_key("ES256"))
    found = problems(examined(run, "--config", network.layout.city("quanzhou") / "adapter.toml"))
    assert ("key", "event") in {(check, "event" if "event key" in text else text) for check, text in found}
