"""How big and how fast are networks, and how do they compare?"""
