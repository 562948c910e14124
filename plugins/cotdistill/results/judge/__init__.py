"""A language model's second opinion on responses, and how far it can be trusted."""
