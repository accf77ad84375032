"""Care of what a run directory holds: what may go, what must go, and what is read in a newer form."""
