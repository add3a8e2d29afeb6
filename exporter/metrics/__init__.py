"""The metrics: one table of families, a view of what is committed, and the formats they are served in."""
