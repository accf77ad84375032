"""Watching a scores table: what its rows are counted as, and what of it has drifted or surged."""
