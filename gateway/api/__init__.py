"""Generated from ``proto/gateway/api`` by ``./dev proto``. Nothing here is written by hand."""
