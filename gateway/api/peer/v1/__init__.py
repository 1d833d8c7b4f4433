"""Generated from ``proto/gateway/api/peer/v1`` by ``./dev proto``. Nothing here is written by hand."""
