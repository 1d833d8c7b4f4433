"""The benchmark: the floor, the yardsticks, a load generator in its own process, and what is made of their figures.

Nothing that runs in production lives here, and nothing of the product imports it; README.md tells the method.
"""
