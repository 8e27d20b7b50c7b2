"""How are millions of pictures answered, by one process or a Ray cluster, so that a stop loses nothing?"""
