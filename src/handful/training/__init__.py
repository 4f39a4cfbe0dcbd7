"""Trials, and the run folder that keeps them."""
