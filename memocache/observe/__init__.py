"""Observers: the figures and events of cached functions, as OpenTelemetry, Prometheus and logs have them."""
