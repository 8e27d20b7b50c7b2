"""Evaluation of anything that maps images to probabilities."""
