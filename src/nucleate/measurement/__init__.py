"""Nuclei of an image as numbers and outlines: shape, stain, neighbourhood."""
