"""Alerts: found in the counts of scored rows, recorded once, delivered to each sink."""
