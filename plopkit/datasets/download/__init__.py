"""Data sets fetched, checked and unpacked."""
