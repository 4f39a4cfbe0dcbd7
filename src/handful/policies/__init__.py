"""Controllers that need no planning."""
