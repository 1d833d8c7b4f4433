"""Generated from ``proto/gateway/api/operator/v1`` by ``./dev proto``. Nothing here is written by hand."""
