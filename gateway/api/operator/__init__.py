"""Generated from ``proto/gateway/api/operator`` by ``./dev proto``. Nothing here is written by hand."""
