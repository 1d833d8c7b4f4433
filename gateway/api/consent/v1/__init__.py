"""Generated from ``proto/gateway/api/consent/v1`` by ``./dev proto``. Nothing here is written by hand."""
