"""A run from its settings to its folder: training, files, tables, reports."""
