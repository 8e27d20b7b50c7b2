"""How far does a classifier see, and what do its answers rest on?"""
