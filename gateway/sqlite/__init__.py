"""SQLite as every process here uses it: one owner per file, numbered migrations, one writer thread, group commit.

Schemas and queries live with their stores; nothing in here knows a table or anything of the domain.
"""
