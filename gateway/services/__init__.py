"""The gateway's use cases, one per file, named verb_noun: each states its steps and takes the narrowest ports.

No gRPC, no protobuf and no SQL in here; wiring is done by ``gateway.app``, wire formats by ``gateway.rpc``.
"""
