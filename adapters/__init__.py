"""What runs inside a city's own trust domain: its score sources, its consent authority, its attester and its journal.

Nothing of the gateway's own side (storage, services, rpc) is used here, no city knows another, and no raw score leaves.
"""
