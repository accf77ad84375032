"""What models of the different tasks are asked for: one file for each kind of answer."""
