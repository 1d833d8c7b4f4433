"""The signed files of one process, made and changed by hand; authorities are keys of this module alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from gateway.crypto.envelope import (
    BUNDLE_TYPE,
    DIRECTORY_TYPE,
    NOTICE_TYPE,
    PAYLOAD_TYPES,
    ROOT_TYPE,
    Authority,
    Root,
    sign,
)
from gateway.crypto.keys import PrivateKey, generate_signing_key, public_jwk
from gateway.crypto.signed_schema import NEVER_S
from gateway.domain.bundle import Timeline
from gateway.domain.directory import Directory
from gateway.errors import Reason, TiergateError
from gateway.policy.bundle import build_bundle
from gateway.policy.directory import build_directory
from gateway.policy.installed import Installed, Seen, load_installed
from gateway.policy.load import load_policies
from gateway.policy.notices import Notice, build_notice
from tests.fakes.network import POLICIES, Network

NOW = 1_793_491_200
PROVINCE, CITY_A, CITY_B, STRANGER = (generate_signing_key("EdDSA") for _ in range(4))
LOADED = load_policies(POLICIES)


def root(*keys: PrivateKey, threshold: int = 2, version: int = 1, expires: int = NEVER_S) -> Root:
    names = {PROVINCE: "province", CITY_A: "a", CITY_B: "b", STRANGER: "stranger"}
    authorities = tuple(
        Authority(names[key], public_jwk(key), PAYLOAD_TYPES) for key in keys or (PROVINCE, CITY_A, CITY_B)
    )
    return Root(authorities, dict.fromkeys(PAYLOAD_TYPES, threshold), version, expires)


def bundle(version: int = 1, **options: int) -> bytes:
    return build_bundle(LOADED, version, date(2027, 12, 31), **options)


class Place:
    """The files of one process; all are signed by the province and city A unless said otherwise."""

    def __init__(self, folder: Path, directory: Directory) -> None:
        self.folder = folder
        self.directory = directory
        (folder / "root.json").write_bytes(root().to_json())
        (folder / "bundles").mkdir()
        (folder / "notices").mkdir()
        self.list(directory)
        self.put(bundle())

    def list(self, directory: Directory) -> None:
        self.directory = directory
        data = sign(DIRECTORY_TYPE, build_directory(directory), [PROVINCE, CITY_A])
        (self.folder / "directory.json").write_bytes(data)

    def put(self, data: bytes, *keys: PrivateKey) -> None:
        name = f"bundles/{len(list(self.folder.glob('bundles/*')))}.json"
        (self.folder / name).write_bytes(sign(BUNDLE_TYPE, data, list(keys) or [PROVINCE, CITY_A]))

    def notice(self, key: PrivateKey = CITY_B, **content: tuple[object, ...]) -> None:
        data = build_notice(Notice(NOW, **content))  # type: ignore[arg-type]  # the fields of a notice
        name = f"notices/{len(list(self.folder.glob('notices/*')))}.json"
        (self.folder / name).write_bytes(sign(NOTICE_TYPE, data, [key]))

    def follow(self, number: int, following: Root, *keys: PrivateKey) -> None:
        data = sign(ROOT_TYPE, following.to_json(), list(keys))
        (self.folder / f"root.{number}.json").write_bytes(data)

    def load(self, now_s: int = NOW, seen: Seen | None = None, held: Timeline | None = None) -> Installed:
        paths = (self.folder / "root.json", self.folder / "directory.json", self.folder / "bundles")
        return load_installed(*paths, now_s=now_s, seen=seen, held=held)


@pytest.fixture(scope="module")
def directory() -> Directory:
    return Network(now_s=NOW).directory


@pytest.fixture
def place(tmp_path: Path, directory: Directory) -> Place:
    return Place(tmp_path, directory)


def refused(call: Callable[[], object], reason: Reason) -> str:
    with pytest.raises(TiergateError) as caught:
        call()
    assert caught.value.reason is reason
    return caught.value.detail
