"""What ``tiergate adapter init`` writes for a city that joins: settings, policies, next steps; with ``@MARKS@``.

Nothing here is read by a running adapter: a city changes its copies, and the product forgets them.
"""
