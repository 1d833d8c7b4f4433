"""Generated from ``proto/gateway/api/audit`` by ``./dev proto``. Nothing here is written by hand."""
