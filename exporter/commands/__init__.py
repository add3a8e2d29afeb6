"""What `check --live` and `events` do: ask AWS, within the budget, and say what came of it."""
