"""Recorded transitions, and the inputs and targets of models."""
