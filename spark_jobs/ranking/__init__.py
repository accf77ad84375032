"""A ranker: gradient-boosted trees over what a model says of a text and the numbers that come with it."""
