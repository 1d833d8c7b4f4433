"""The tests of tiergate, by what they hold: units, contracts, wire, properties, vectors, architecture, whole system.

Nothing here is part of the product, and the product imports nothing from here.
"""
