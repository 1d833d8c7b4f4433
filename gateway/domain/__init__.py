"""Pure domain objects: identifiers, tiers, concordances, consents, scenarios, decisions, the peer directory.

No input or output, no clock of its own, no wire format, no cryptography; times are passed in.
"""
