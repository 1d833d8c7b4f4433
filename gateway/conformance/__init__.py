"""The conformance kit: asks a city's peer, whoever wrote it, as a gateway of a test deployment, and says what it found.

It knows the contract and nothing of any implementation; it decides nothing about anybody and is no part of the gateway.
"""
