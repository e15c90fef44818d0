"""Lesson: training."""
