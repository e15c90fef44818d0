"""A run: its folder, what is written there, and what is read from it."""
