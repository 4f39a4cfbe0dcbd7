"""Beliefs about how a system moves, and how they are fitted."""
