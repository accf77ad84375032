"""The applications, measured on real data that the user of the benchmark brings."""
