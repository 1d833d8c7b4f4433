"""A whole network on this machine: keys, directory, bundle, settings, and the processes, for demo, tests and bench.

Development only: everything here is synthetic, and no other part of the product may depend on it.
"""
