"""Systems to control."""
