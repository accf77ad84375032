"""Retrieval: a bank of templates, embedded once and published, and the nearest of them for each text."""
