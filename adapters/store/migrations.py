"""The schema, step by step. A released step is never changed: a change is a new step.

``consents.id`` is the token's ``jti``. ``tallies`` counts uses by token hash, apart from the consents, so that an
erased consent's token is counted out like any other (I3). ``requests`` makes a retry free of charge for 24 hours.
``attestations`` and ``uses`` are the journal that the resident's view and the 3-year record are read from; ``acts`` is
that of what residents and the city's officials did. ``attestations.reason`` is for explanations (PIPL 24) and never
leaves the city. ``events.entry`` and ``events.proof`` are the log's receipt of an event, ``registrations`` the log's of
a consent with the opening of its commitment, ``consents.record`` what a receipt says of the grant: all go when a
consent is erased. ``proofs`` holds the marks of devices' proofs until no proof of their age is fresh (Unix seconds),
``device_keys`` keyed marks of devices' keys and of whose they are. ``handles`` are one-time codes by keyed hash, with
their sealed tokens; ``misses`` tells by operator from when on nothing is held against it (Unix milliseconds).
``events.ordering`` names a consent or a case, or is the kind of an event of neither: those go out one after the other.
``unreported`` are attestations that no report named in time.
``erasures`` locks whoever has asked for erasure until her rows are deleted (``shown``: the consents of all others), and
``erased`` says that somebody's were, by whose order, and whether the file has been written anew since. ``tombstones``
keep the tally of an erased token until the token ends (Unix seconds).
``consents.bound`` is 0 none, 1 the operator's key, 2 a device's.
"""

from __future__ import annotations

from gateway.sqlite.migrate import Migration

MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        1,
        "consents, journal and outbox",
        """
CREATE TABLE consents (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    resident TEXT NOT NULL,
    operator TEXT NOT NULL,
    scenario TEXT NOT NULL,
    purpose TEXT NOT NULL,
    token_hash BLOB NOT NULL UNIQUE,
    bound INTEGER NOT NULL,
    uses INTEGER,
    notice TEXT NOT NULL,
    granted_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    withdrawn_at_ms INTEGER
) STRICT;
CREATE INDEX consents_of_resident ON consents (resident);

CREATE TABLE tallies (
    token_hash BLOB PRIMARY KEY,
    spent INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE requests (
    key BLOB NOT NULL PRIMARY KEY,
    body BLOB NOT NULL,
    bundle TEXT NOT NULL,
    rung INTEGER NOT NULL,
    attestation TEXT,
    expires_at INTEGER NOT NULL,
    keep_until INTEGER NOT NULL
) STRICT;
CREATE INDEX requests_to_forget ON requests (keep_until);
CREATE INDEX requests_to_strip ON requests (expires_at) WHERE attestation IS NOT NULL;

CREATE TABLE attestations (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    consent_id TEXT NOT NULL,
    operator TEXT NOT NULL,
    scenario TEXT NOT NULL,
    bundle TEXT NOT NULL,
    rung INTEGER NOT NULL,
    at INTEGER NOT NULL,
    request BLOB NOT NULL
) STRICT;
CREATE TRIGGER attestations_are_final BEFORE UPDATE ON attestations
BEGIN SELECT RAISE(ABORT, 'journal rows are final'); END;

CREATE TABLE checkpoints (
    id INTEGER PRIMARY KEY,
    note TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE uses (
    log_index INTEGER PRIMARY KEY,
    attestation_id TEXT NOT NULL,
    consent_id TEXT,
    outcome TEXT NOT NULL,
    entry BLOB NOT NULL,
    inclusion BLOB NOT NULL,
    checkpoint INTEGER NOT NULL REFERENCES checkpoints (id)
) STRICT;
CREATE INDEX uses_of_consent ON uses (consent_id);
CREATE TRIGGER uses_are_final BEFORE UPDATE ON uses
BEGIN SELECT RAISE(ABORT, 'journal rows are final'); END;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    consent_id TEXT NOT NULL UNIQUE,
    event TEXT NOT NULL,
    log_index INTEGER,
    refused TEXT
) STRICT;
CREATE INDEX events_pending ON events (seq) WHERE log_index IS NULL AND refused IS NULL;

CREATE TABLE seen (
    name TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID
""",
    ),
    Migration(
        2,
        "the life of consents, residents, cases",
        """
ALTER TABLE consents ADD COLUMN paused_at_ms INTEGER;
ALTER TABLE consents ADD COLUMN replaced_by TEXT;
ALTER TABLE attestations ADD COLUMN reason TEXT;

CREATE TABLE events_of_all_kinds (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    consent_id TEXT,
    event TEXT NOT NULL,
    sent INTEGER NOT NULL DEFAULT 0,
    log_index INTEGER,
    refused TEXT
) STRICT;
INSERT INTO events_of_all_kinds (seq, id, kind, consent_id, event, log_index, refused)
    SELECT seq, id, 'withdrawal', consent_id, event, log_index, refused FROM events;
DROP TABLE events;
ALTER TABLE events_of_all_kinds RENAME TO events;
CREATE INDEX events_pending ON events (seq) WHERE log_index IS NULL AND refused IS NULL;
CREATE INDEX events_of_consent ON events (consent_id, seq);

CREATE TABLE acts (
    seq INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    resident TEXT NOT NULL,
    act TEXT NOT NULL,
    consent_id TEXT
) STRICT;
CREATE INDEX acts_of_resident ON acts (resident, seq);
CREATE TRIGGER acts_are_final BEFORE UPDATE ON acts
BEGIN SELECT RAISE(ABORT, 'journal rows are final'); END;

CREATE TABLE frozen (
    resident TEXT PRIMARY KEY,
    since_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE declined (
    resident TEXT NOT NULL,
    operator TEXT NOT NULL,
    scenario TEXT NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (resident, operator, scenario)
) STRICT, WITHOUT ROWID;

CREATE TABLE cases (
    id TEXT PRIMARY KEY,
    resident TEXT NOT NULL,
    decision INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    step TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX cases_of_resident ON cases (resident);
CREATE UNIQUE INDEX cases_one_open ON cases (decision) WHERE step IN ('opened', 'flagged', 'forwarded');
CREATE TABLE case_steps (
    case_id TEXT NOT NULL REFERENCES cases (id),
    step TEXT NOT NULL,
    at INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    PRIMARY KEY (case_id, step)
) STRICT, WITHOUT ROWID
""",
    ),
    Migration(
        3,
        "which key signs since when",
        """
CREATE TABLE signing_keys (
    seq INTEGER PRIMARY KEY,
    purpose TEXT NOT NULL,
    kid TEXT NOT NULL,
    since INTEGER NOT NULL
) STRICT;
""",
    ),
    Migration(
        4,
        "receipts",
        """
ALTER TABLE events ADD COLUMN entry BLOB;
ALTER TABLE events ADD COLUMN proof BLOB;
ALTER TABLE events ADD COLUMN checkpoint_size INTEGER;
-- acknowledged without a receipt: pushed once more, which changes nothing but brings one
UPDATE events SET log_index = NULL WHERE refused IS NULL;
ALTER TABLE consents ADD COLUMN record TEXT;
CREATE TABLE registrations (
    consent_id TEXT NOT NULL PRIMARY KEY,
    log_index INTEGER NOT NULL,
    entry BLOB NOT NULL,
    inclusion BLOB NOT NULL,
    opening BLOB NOT NULL,
    checkpoint INTEGER NOT NULL REFERENCES checkpoints (id)
) STRICT, WITHOUT ROWID
""",
    ),
    Migration(
        5,
        "devices and one-time codes",
        """
CREATE TABLE proofs (
    mark BLOB NOT NULL PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX proofs_to_forget ON proofs (until);

CREATE TABLE device_keys (
    mark BLOB NOT NULL PRIMARY KEY,
    owner BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE handles (
    key BLOB NOT NULL PRIMARY KEY,
    operator TEXT NOT NULL,
    scenario TEXT NOT NULL,
    token_hash BLOB NOT NULL,
    sealed BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    keep_until INTEGER NOT NULL
) STRICT;
CREATE INDEX handles_to_forget ON handles (keep_until);

CREATE TABLE misses (
    operator TEXT NOT NULL PRIMARY KEY,
    until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID
""",
    ),
    Migration(
        6,
        "answers that were not reported",
        """
CREATE TABLE unreported (
    seq INTEGER PRIMARY KEY REFERENCES attestations (seq),
    consent_id TEXT NOT NULL
) STRICT;
CREATE INDEX unreported_of_consent ON unreported (consent_id);
-- what is older has been an auditor's to find
INSERT INTO seen (name, version) SELECT 'unreported_to', COALESCE(MAX(seq), 0) FROM attestations;
INSERT INTO seen (name, version) SELECT 'unreported_from', COALESCE(MAX(log_index), -1) FROM uses
""",
    ),
    Migration(
        7,
        "erasure",
        """
CREATE TABLE erasures (
    resident TEXT NOT NULL PRIMARY KEY,
    asked_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE VIEW shown AS
    SELECT * FROM consents AS c WHERE NOT EXISTS (SELECT 1 FROM erasures WHERE resident = c.resident);
CREATE TABLE tombstones (
    token_hash BLOB NOT NULL PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstones_to_forget ON tombstones (until);
CREATE TABLE erased (
    seq INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    consents INTEGER NOT NULL,
    ordered_by TEXT,
    order_digest TEXT,
    scrubbed INTEGER NOT NULL DEFAULT 0
) STRICT
""",
    ),
    Migration(
        8,
        "steps of one case in order",
        """
ALTER TABLE events ADD COLUMN ordering TEXT;
UPDATE events SET ordering = COALESCE(consent_id, (SELECT case_id FROM case_steps WHERE event_id = events.id), kind);
CREATE INDEX events_waiting ON events (ordering, seq) WHERE log_index IS NULL AND refused IS NULL
""",
    ),
)
