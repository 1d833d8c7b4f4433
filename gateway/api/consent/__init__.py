"""Generated from ``proto/gateway/api/consent`` by ``./dev proto``. Nothing here is written by hand."""
