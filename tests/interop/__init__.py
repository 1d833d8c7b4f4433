"""Verifiers written by others judge the log's exports and receipts; see README.md in this folder."""
