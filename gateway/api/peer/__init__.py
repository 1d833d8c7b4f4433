"""Generated from ``proto/gateway/api/peer`` by ``./dev proto``. Nothing here is written by hand."""
