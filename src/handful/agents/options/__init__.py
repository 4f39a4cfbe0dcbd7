"""Options of each agent: plain dataclasses that need no JAX, so that help answers at once."""
