"""The caches, and what they have in common."""
