"""Synthetic city platforms, run as programs of their own by the demo and the tests: HTTP API, SQL database, CSV export.

Every resident in here is invented and named so; no adapter or gateway code may import this package.
"""
