"""How the pipeline's results are named for people."""

from __future__ import annotations

BASELINES = {"tfidf_logistic_regression": "TF-IDF + logistic regression", "majority": "majority class"}
