"""Figures of an evaluation that have the same bits for any number of ranks; NumPy alone, no model, no ring, no files.

Every figure is made in one of two ways:

- *Sums*: a rank makes integers of its rows (`..._counts`, `..._sums`, `..._replicates`), the ring adds them up, and
  the figure is made from the totals. Integers have the same sum in any order, floats do not; so what is not a count
  becomes a fixed-point number first (`fixed_point.py`). The arrays are int64 and contiguous: with `torch.from_numpy`
  a ring adds them up in place.
- *Rows*: where a figure needs all rows together (ranks of scores, a correlation), they are gathered and brought
  into an order that no rank has a say in (`rows.py`).

A figure that rows do not suffice for is None, never NaN. Exponentials and logarithms (temperature, NDCG, perplexity)
may differ in the last bit between types of CPU: where hosts differ, one rank makes the figures and broadcasts them.
"""
