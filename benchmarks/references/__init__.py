"""What plopkit's speed is compared with: the arithmetic of the published codes, written plainly.

Each does what CVPR2021_PLOP (commit 4b4a060) does, operation by operation, in the words of this project: channels-first
maps, a loop over regions, a Python call for each pixel. Each gives plopkit's numbers, which
tests/test_benchmarks.py checks. They import nothing of plopkit.
"""
