"""Planning: from a belief and a task to a plan."""
