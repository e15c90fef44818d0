"""Many runs: all combinations of scenarios, methods, seeds and settings, on this machine or as a Slurm array.

`plopkit.grid` is the function, and `plopkit grid` the command. Each run is a process of its own, `plopkit run …`, so
that it is saved, resumed, mended and locked like any other; a grid only chooses what to start, and watches the run
folders.
"""
