"""The live double of the grid: estimation, bad data, uncertainty, forks."""
