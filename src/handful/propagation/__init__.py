"""How uncertainty travels through time."""
