"""Results in the formats of others: Every Eval Ever, Inspect's log, model and dataset cards."""
