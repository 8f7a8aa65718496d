"""code(): the version that is a function's own code."""
