"""Servicers and peer clients of the gateway: decode, call a service, encode.

No rule about who is entitled to what and no storage; access, limits and errors are ``gateway.transport``'s.
"""
