"""The star-convex network: what it is, what it learns from, how its maps become nuclei."""
