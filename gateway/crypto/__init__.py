"""Keys, signed tokens, proofs of possession and signed files, over ``cryptography``.

No files are read here but key files that the caller names, no network, no clock: times are passed in.
"""
