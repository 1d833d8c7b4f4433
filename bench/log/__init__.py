"""The consent log by itself: appends against plain commits, cost over size, export and verification (README.md)."""

from __future__ import annotations
