"""The gateway's store behind ``gateway.ports``: decisions, consents' states and the log in one SQLite database.

SQL lives here and nowhere else in the gateway; no policy, no gRPC, and no memory of its own that could be authority.
"""
