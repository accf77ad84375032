"""A first config for a file that nobody has described: what is in it, what it is for, which sizes fit."""
