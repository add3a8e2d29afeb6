"""Benchmarks: the exporter as a process, against figures that do not depend on the machine. `make bench` runs them."""
