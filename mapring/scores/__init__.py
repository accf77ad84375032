"""The Delta table of scores as it stands: what it holds, what it lacks, and whether its files are still those."""
