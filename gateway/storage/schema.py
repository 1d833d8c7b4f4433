"""Numbered migrations of the gateway's database.

| version | what |
|---|---|
| 1 | the log (entry, tile, head), consents, requests, attestations, events, report cursors, bundles, versions seen |
| 2 | consents that are paused, and from which entry on they are resumed |
| 3 | a consent by the index of its registration, for the report of its first decision |
| 4 | marks of proofs that are good once, kept until no proof of their age is fresh (Unix milliseconds) |
| 5 | the newest checkpoint that satisfies the witnesses' quorum, with its cosignatures (Unix milliseconds) |
| 6 | the private payload of decisions, consents that are locked for erasure, tombstones of erased ones |
| 7 | sealed shards: their last checkpoints, and with its cosignatures once the witnesses' quorum has given them |
| 8 | the peers and keys that the log last told of |
| 9 | events by consent: those before its first check are in no entry that names it |

``entry.salt``, ``attestation``, ``decided_at``, ``valid_until`` and ``request`` are the erasable part of an entry, and
``consent.secret`` and ``token`` that of a consent's; the leaf itself is never changed. ``sweep.idx``: before it nothing
is left to erase by age; ``sweep.rewrite``: something was erased since the file was last written anew.
Every ``idx`` is a place (``gateway.consentlog.shard``); ``head`` and ``cosigned`` are of the newest shard.
Keys are 32 hex digits (the first 128 bits of a SHA-256), which SQLite's JSON functions carry as they are.
"""

from __future__ import annotations

from gateway.sqlite.migrate import Migration

MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        1,
        "log",
        """
        CREATE TABLE entry (
            idx INTEGER PRIMARY KEY,
            leaf TEXT NOT NULL,
            city TEXT,
            attestation TEXT,
            salt TEXT
        );
        CREATE INDEX entry_unreported ON entry (city, idx) WHERE attestation IS NOT NULL;
        CREATE TABLE seen (
            what TEXT PRIMARY KEY,
            version INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE TRIGGER entry_is_final BEFORE UPDATE OF idx, leaf ON entry
        BEGIN SELECT RAISE(ABORT, 'log entries are final'); END;
        CREATE TRIGGER entry_stays BEFORE DELETE ON entry
        BEGIN SELECT RAISE(ABORT, 'log entries are final'); END;
        CREATE TABLE tile (
            id INTEGER PRIMARY KEY,
            hashes BLOB NOT NULL
        );
        CREATE TABLE head (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            size INTEGER NOT NULL,
            checkpoint TEXT NOT NULL
        );
        CREATE TABLE consent (
            key TEXT PRIMARY KEY,
            idx INTEGER,
            secret TEXT NOT NULL,
            withdrawn INTEGER,
            expires INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE request (
            key TEXT PRIMARY KEY,
            body TEXT NOT NULL,
            idx INTEGER NOT NULL,
            at INTEGER NOT NULL,
            until INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE INDEX request_at ON request (at);
        CREATE TABLE attestation (
            id TEXT PRIMARY KEY,
            jws TEXT NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE event (
            city TEXT NOT NULL,
            id TEXT NOT NULL,
            idx INTEGER NOT NULL,
            PRIMARY KEY (city, id)
        ) WITHOUT ROWID;
        CREATE TABLE report_cursor (
            city TEXT PRIMARY KEY,
            idx INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE bundle (
            digest TEXT PRIMARY KEY,
            idx INTEGER NOT NULL,
            data BLOB NOT NULL
        ) WITHOUT ROWID;
        """,
    ),
    Migration(
        2,
        "paused consents",
        """
        ALTER TABLE consent ADD COLUMN paused INTEGER;
        ALTER TABLE consent ADD COLUMN resumed INTEGER;
        """,
    ),
    Migration(
        3,
        "registrations by index",
        """
        CREATE UNIQUE INDEX consent_registered ON consent (idx) WHERE idx IS NOT NULL;
        """,
    ),
    Migration(
        4,
        "proofs",
        """
        CREATE TABLE proof (
            key TEXT PRIMARY KEY,
            until INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE INDEX proof_until ON proof (until);
        """,
    ),
    Migration(
        5,
        "cosigned checkpoint",
        """
        CREATE TABLE cosigned (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            size INTEGER NOT NULL,
            checkpoint TEXT NOT NULL,
            at INTEGER NOT NULL
        );
        """,
    ),
    Migration(
        6,
        "private payload and erasure",
        """
        ALTER TABLE entry ADD COLUMN decided_at INTEGER;
        ALTER TABLE entry ADD COLUMN valid_until INTEGER;
        ALTER TABLE entry ADD COLUMN request TEXT;
        ALTER TABLE consent ADD COLUMN locked INTEGER;
        ALTER TABLE consent ADD COLUMN token TEXT;
        CREATE INDEX event_at ON event (idx);
        CREATE TABLE tombstone (
            key TEXT PRIMARY KEY,
            until INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE tombstone_secret (
            period INTEGER PRIMARY KEY,
            secret TEXT NOT NULL
        );
        CREATE TABLE sweep (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            idx INTEGER NOT NULL,
            rewrite INTEGER NOT NULL
        );
        INSERT INTO sweep (one, idx, rewrite) VALUES (1, 0, 0);
        """,
    ),
    Migration(
        7,
        "shards",
        """
        CREATE TABLE sealed (
            number INTEGER PRIMARY KEY,
            size INTEGER NOT NULL,
            checkpoint TEXT NOT NULL,
            cosigned TEXT,
            at INTEGER NOT NULL
        );
        """,
    ),
    Migration(
        8,
        "the directory as logged",
        """
        CREATE TABLE listed (
            role TEXT NOT NULL,
            name TEXT NOT NULL,
            digest TEXT NOT NULL,
            keys TEXT NOT NULL,
            PRIMARY KEY (role, name)
        ) WITHOUT ROWID;
        """,
    ),
    Migration(
        9,
        "events by consent",
        """
        ALTER TABLE event ADD COLUMN consent TEXT;
        CREATE INDEX event_of_consent ON event (consent) WHERE consent IS NOT NULL;
        UPDATE event SET consent = (SELECT c.key FROM consent c WHERE c.idx =
            (SELECT leaf ->> '$.consent' FROM entry WHERE entry.idx = event.idx));
        UPDATE event SET consent = c.key FROM (
            SELECT key, withdrawn AS idx FROM consent UNION ALL SELECT key, paused FROM consent
            UNION ALL SELECT key, resumed FROM consent UNION ALL SELECT key, locked FROM consent) AS c
            WHERE event.consent IS NULL AND event.idx = c.idx;
        """,
    ),
)
