"""Gaussian processes: accurate and well calibrated beliefs from few data."""
