"""Generated from ``proto/gateway/api/audit/v1`` by ``./dev proto``. Nothing here is written by hand."""
