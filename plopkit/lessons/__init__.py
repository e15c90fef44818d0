"""The lessons: a folder per topic, each with what it measures, draws and asks."""
