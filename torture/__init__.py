"""Torture: the exporter as a process, killed again and again, and for a week. `make torture` and `make week` run it."""
