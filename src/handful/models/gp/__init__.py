"""Gaussian processes: beliefs that know how far they can be trusted, from few data."""
