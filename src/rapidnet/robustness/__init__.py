"""How well does a classifier stand what it was not trained on: corruptions, attacks, other classes?"""
