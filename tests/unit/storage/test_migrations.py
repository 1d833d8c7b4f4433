"""Databases of before, brought to the newest schema."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from gateway.sqlite.connect import connect_writer
from gateway.sqlite.migrate import migrate
from gateway.storage.schema import MIGRATIONS


def test_events_are_kept_with_their_consent_as_far_as_the_database_can_tell(tmp_path: Path) -> None:
    with closing(connect_writer(tmp_path / "gateway.db")) as connection:
        migrate(connection, MIGRATIONS[:8])
        leaves = {1: "{}", 2: "{}", 3: "{}", 4: "{}", 5: '{"consent":3}', 6: '{"consent":9}'}
        connection.executemany("INSERT INTO entry (idx, leaf) VALUES (?, ?)", leaves.items())
        connection.executescript("""
            INSERT INTO consent (key, idx, secret, withdrawn, expires, resumed) VALUES ('used', 3, '', 5, 0, 2);
            INSERT INTO consent (key, idx, secret, expires, locked) VALUES ('unused', NULL, '', 0, 4);
            INSERT INTO event (city, id, idx) VALUES
                ('fuzhou', 'a pause that was resumed', 1), ('fuzhou', 'its end', 2), ('fuzhou', 'locks', 4),
                ('fuzhou', 'withdraws', 5), ('fuzhou', 'of an erased one', 6);
        """)
        migrate(connection, MIGRATIONS)
        found = connection.execute("SELECT id, consent FROM event ORDER BY idx").fetchall()
    assert found == [
        ("a pause that was resumed", None),
        ("its end", "used"),
        ("locks", "unused"),
        ("withdraws", "used"),
        ("of an erased one", None),
    ]
