"""Reports of runs, models and comparisons: figures, tables and HTML pages."""
