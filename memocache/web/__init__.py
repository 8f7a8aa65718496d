"""Views of web frameworks: what HTTP lets a shared cache store and serve, and one adapter for each framework."""
