"""``tiergate witness``: a city or an auditor cosigns the logs of others, and keeps what does not fit together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from gateway.cli.options import ConfigFile, Json, LifelineFd, ReadyFile
from gateway.cli.output import EXIT_OK, EXIT_REFUSED, UsageError, facts, show, table

app = App(name="witness", help="A city or an auditor: cosign the logs of others (C2SP tlog-witness).")


@app.command
def init(
    *,
    config: ConfigFile,
    name: Annotated[
        str, Parameter(help="The witness's name in its key: a host name and path, such as city.example/w1.")
    ],
    json: Json = False,
) -> None:
    """Make the key and the state that the settings name, once, and print the key for others' trust files.

    A key belongs to its state: one whose state is lost is never used again, since it could cosign a second history.
    """
    from gateway.cli.secret_file import secret_files
    from gateway.consentlog.note import COSIGNATURE_V1, SignerKey
    from gateway.settings import read_settings
    from gateway.witness.config import PREFIX, WitnessConfig
    from gateway.witness.state import DATABASE, SqliteWitnessState

    settings = read_settings(WitnessConfig, config, prefix=PREFIX)
    key = SignerKey.generate(name, COSIGNATURE_V1)
    if (settings.state_dir / DATABASE).exists():
        raise UsageError(f"{settings.state_dir} holds the state of another key", "name an empty folder as state_dir")
    settings.key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with secret_files(settings.key) as files:
        SqliteWitnessState.create(settings.state_dir, key.verifier)
        files.write(settings.key, f"{key.to_secret_text()}\n".encode())
    document = {"name": name, "vkey": str(key.verifier), "key": str(settings.key), "state": str(settings.state_dir)}
    line = f"witness NAME {key.verifier} URL"
    show(document, lambda: ["for trust files (NAME is theirs to choose, URL where you listen):", line], as_json=json)


@app.command
def serve(*, config: ConfigFile, lifeline_fd: LifelineFd = None, ready_file: ReadyFile = None) -> None:
    """Run the witness until SIGTERM, SIGINT, or the end of the lifeline.

    Environment variables TIERGATE_WITNESS_<KEY> override the settings. A fork is refused, kept as evidence, and
    reported by a log line with `"alarm": "fork"`.
    """
    import uvloop

    from gateway.witness.server import serve as run

    uvloop.run(run(config, lifeline_fd=lifeline_fd, ready_file=ready_file))


@app.command
def status(*, config: ConfigFile, json: Json = False) -> int:
    """Show the key, what was cosigned last of each log, and the evidence. Exit code 1 if there is any evidence."""
    from gateway.cli.messages import time_of_s
    from gateway.consentlog.checkpoint import Checkpoint
    from gateway.consentlog.key_file import read_signer
    from gateway.consentlog.note import parse_note
    from gateway.consentlog.witness import log_id
    from gateway.settings import read_settings
    from gateway.witness.config import PREFIX, WitnessConfig
    from gateway.witness.evidence import EvidenceFolder
    from gateway.witness.state import EVIDENCE, read_rows

    settings = read_settings(WitnessConfig, config, prefix=PREFIX)
    vkey = str(read_signer(settings.key).verifier)
    known = {row.origin: row for row in read_rows(settings.state_dir)}
    origins = {log_id(origin): origin for origin in sorted({*known, *settings.keys_of_logs()})}
    logs = [
        {
            "origin": origin,
            "size": row.size if (row := known.get(origin)) else None,
            "root": Checkpoint.parse(parse_note(row.note).text).root.hex() if row else None,
            "cosigned": time_of_s(row.at_s) if row else None,
        }
        for origin in origins.values()
    ]
    forks = [
        {"kind": fork.kind, "origin": origins.get(fork.log, fork.log), "folder": os.fspath(fork.folder)}
        for fork in EvidenceFolder(settings.state_dir / EVIDENCE).all()
    ]
    show(
        {"vkey": vkey, "logs": logs, "evidence": forks},
        lambda: [
            facts("Witness", {"key": vkey, "state": Path(settings.state_dir)}),
            table("Logs", ("origin", "size", "root", "cosigned (UTC)"), (list(item.values()) for item in logs)),
            *(
                [table("Evidence", ("kind", "origin", "folder"), (list(item.values()) for item in forks))]
                if forks
                else ()
            ),
        ],
        as_json=json,
    )
    return EXIT_REFUSED if forks else EXIT_OK
