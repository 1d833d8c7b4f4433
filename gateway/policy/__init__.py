"""Policies: strict reading and checking of ``policies/``, their cases, the canonical bundle and the peer directory.

Everything here turns bytes into checked domain objects or raises with every problem named; no network, no clock, no
signature (that is ``gateway.crypto``), no decision about a person.
"""
