"""Data sets downloaded, verified and unpacked: `plopkit data get`."""
