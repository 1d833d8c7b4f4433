"""What ``tiergate operator init`` writes for an operator that joins: profile, policy file, samples; with ``@MARKS@``.

No command imports anything from here: an operator changes its copies, and the product forgets them.
"""
