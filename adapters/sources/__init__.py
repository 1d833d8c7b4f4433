"""Score sources: how an adapter reads its city's platform over HTTP, SQL or from a CSV export, by settings alone.

No tier, no consent, no signature and nothing of a particular city belongs here; a score leaves only as a ``RawScore``.
"""
