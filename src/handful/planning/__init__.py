"""From a belief and a task to a plan."""
