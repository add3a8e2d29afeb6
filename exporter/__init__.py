"""Prometheus exporter for the auth events of Amazon Cognito's threat protection."""

__version__ = "0.1.0"
