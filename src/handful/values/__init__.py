"""Dynamic programming and temporal differences: methods that learn the worth of states and actions."""
