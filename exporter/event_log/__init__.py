"""The event log: takes lines of counted events from the ledger and writes them to a file or to standard output."""
