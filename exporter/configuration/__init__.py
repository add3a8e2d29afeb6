"""The configuration file: read into frozen models, every mistake told at once with its place."""
