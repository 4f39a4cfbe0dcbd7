"""Value-based methods: dynamic programming, temporal-difference learning, deep Q-learning."""
