"""``tiergate audit seal``: end the newest shard of a stopped gateway's log and begin the next; ``audit trust``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from gateway.cli.options import ConfigFile, Json
from gateway.cli.output import RefusedError, UsageError, facts, show

if TYPE_CHECKING:
    from gateway.config import GatewayConfig
    from gateway.domain.directory import GatewayPeer


def seal_shard(*, config: ConfigFile, json: Json = False) -> None:
    """Seal the newest shard of a stopped gateway: its size is final, and the log goes on in the next one.

    A gateway seals the shard by itself when it reloads (SIGHUP) or starts with such a directory.
    The key of the next shard lies beside the log key (log.key.next), the directory in place names it as the log's key
    and the present one last among the earlier ones. The present key is destroyed with this. Repeat it after any
    interruption: the log is then unsealed, or sealed altogether.
    """
    from gateway.cli.backup import DATABASE, require_file, settings_of
    from gateway.clock import SystemClock
    from gateway.consentlog.key_file import read_signer
    from gateway.policy.installed import load_installed
    from gateway.storage.sealing import Policy, finish_seal, next_key_file, seal

    settings = settings_of(config)
    database, now_ms = settings.data_dir / DATABASE, SystemClock().now_ms()
    require_file(database, "data_dir", "is there a gateway with these settings?")
    if finish_seal(database, settings.log_key) or not next_key_file(settings.log_key).exists():
        _tell_sealed(settings, json=json)
        return
    installed = load_installed(settings.root, settings.directory, settings.bundle, now_s=now_ms // 1000)
    old, new = read_signer(settings.log_key), read_signer(next_key_file(settings.log_key))
    _require_listed(installed.directory.gateway, str(old.verifier), str(new.verifier), now_ms // 1000)
    policies = [
        Policy(item.digest, item.version, installed.bundle_bytes[item.digest]) for item in installed.timeline.bundles
    ]
    done = seal(database, settings.log_mark, settings.log_key, policies, installed.directory.version, now_ms)
    document: dict[str, Any] = {
        "sealed": True,
        "origin": old.name,
        "size": done.last.size,
        "checkpoint": done.last.checkpoint,
        "next_origin": new.name,
        "next_vkey": str(new.verifier),
    }
    shown = {name: document[name] for name in ("origin", "size", "next_origin")}
    lines = [
        "start the gateway; give witnesses the origin and the key of the new shard, if they do not have it yet",
        "auditors take a trust file with both keys: tiergate audit trust",
    ]
    show(document, lambda: [facts("Sealed", shown), *lines], as_json=json)


def _tell_sealed(settings: GatewayConfig, *, json: bool) -> None:
    """There is no next key: either the seal is complete, or nobody has prepared one."""
    from gateway.cli.backup import directory_of
    from gateway.consentlog.key_file import read_signer
    from gateway.consentlog.shard import number_of

    signer, gateway = read_signer(settings.log_key), directory_of(settings).gateway
    number = number_of(signer.name)
    if not number or gateway.log_vkey != str(signer.verifier):
        name = f"{settings.log_key.name}.next"
        raise UsageError(
            f"there is no {name} beside the log key",
            f"tiergate certs key --purpose log --origin ORIGIN/shard{number + 1} --out {name}, have it entered in the"
            " directory, and wait until everybody has that",
        )
    document = {"sealed": False, "newest_origin": signer.name, "newest_vkey": str(signer.verifier)}
    show(document, lambda: [f"nothing left to seal: the newest shard is {signer.name}"], as_json=json)


def _require_listed(gateway: GatewayPeer, old: str, new: str, now_s: int) -> None:
    """Return if the directory goes with the seal. Raises RefusedError."""
    from gateway.next_shard import distrusted

    remedy = "install the directory that lists the next key as log_vkey, and the present one last in earlier_logs"
    if gateway.log_vkey != new:
        raise RefusedError("SEAL_REFUSED", "the directory does not name the next key as the log's", remedy)
    against = distrusted(gateway, old, now_s)
    if against is not None:
        raise RefusedError("SEAL_REFUSED", against, f"{remedy}; its end there (until) must lie ahead")


def trust_file(
    *,
    root: Annotated[Path, Parameter(name="--root", help="Root file: who may sign the directory.")],
    directory: Annotated[Path, Parameter(name="--directory", help="The signed directory.")],
    out: Annotated[Path, Parameter(name="--out", help="Trust file to write; an existing one is replaced.")],
    json: Json = False,
) -> None:
    """Write the trust file that the signed directory stands for: the key of every shard, and when it is trusted.

    It asks for no witness: add witness, group and quorum lines (C2SP tlog-policy) to ask for some.
    """
    from gateway.consentlog.trust import directory_trust
    from gateway.policy.installed import installed_directory

    gateway = installed_directory(root, directory).gateway
    out.write_bytes(directory_trust(gateway))
    document = {"file": str(out), "logs": [*(item.vkey for item in gateway.earlier_logs), gateway.log_vkey]}
    show(document, lambda: [f"wrote {out}: {len(document['logs'])} log key(s), no witness"], as_json=json)
