"""A witness as a process: its HTTP server, state and evidence; and the client with which a log asks one.

What a witness may sign is decided in ``gateway.consentlog.witness`` alone; nothing here knows the gateway's own store.
"""
