"""Where counts are kept: what is counted, what is known, and the rules that make each event count exactly once."""
