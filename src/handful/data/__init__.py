"""Data: what was seen, and what a model sees of it."""
