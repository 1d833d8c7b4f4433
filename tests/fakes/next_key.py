"""The authorities' part in sealing a shard of a local network's log: a directory with the next key."""

from __future__ import annotations

import time
from dataclasses import replace

from gateway.cli.localnet.plan import Layout
from gateway.crypto.envelope import DIRECTORY_TYPE, sign, verify
from gateway.crypto.keys import load_private_key
from gateway.crypto.root_files import read_root
from gateway.domain.directory import EarlierLog
from gateway.files import write_whole
from gateway.policy.directory import build_directory, read_directory


def enter_next_key(layout: Layout, vkey: str, *, days: int = 7) -> None:
    """Sign a directory with the next key as the log's, and the present one trusted for so many days."""
    shared = layout.shared
    file = shared / "directory.json"
    directory = read_directory(verify(read_root(shared / "root.json"), DIRECTORY_TYPE, file.read_bytes()))
    now_s, gateway = int(time.time()), directory.gateway
    earlier = EarlierLog(gateway.log_vkey, now_s - 30 * 86_400, now_s + days * 86_400)
    changed = replace(
        directory,
        version=directory.version + 1,
        gateway=replace(
            gateway,
            log_origin=vkey.partition("+")[0],
            log_vkey=vkey,
            earlier_logs=(*gateway.earlier_logs, earlier),
        ),
    )
    write_whole(
        file, sign(DIRECTORY_TYPE, build_directory(changed), [load_private_key(key) for key in layout.signing_keys])
    )
