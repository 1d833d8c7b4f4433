"""Mutually authenticated gRPC for gateway and city adapters alike: servers, channels, identity, access, limits.

No use case and no generated code of ours: what a method means is the business of ``gateway.rpc`` and ``adapters``.
"""
