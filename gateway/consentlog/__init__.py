"""The tamper-evident consent log: RFC 6962 tree, C2SP notes and tiles, canonical entries, export, verification.

Everything here is pure or works on plain files; no SQL, no gRPC, and no policy evaluation may live here.
"""
