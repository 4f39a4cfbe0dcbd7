"""Numbers that say how good a model, a forecast or a group of runs is."""
