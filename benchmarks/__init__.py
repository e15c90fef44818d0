"""Measurements: `python -m benchmarks` compares plopkit's speed with plain references; the scripts measure the rest."""
