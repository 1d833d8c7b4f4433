"""The city's own SQLite store: consents, counts, requests, journal of attestations, use reports, outbox of events.

No score, tier of a person or token is ever stored (a token as its hash alone); rules live beside it, not in it.
"""
