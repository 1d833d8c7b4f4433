"""Hostile bytes for every function that reads bytes from outside; see README.md in this folder."""
