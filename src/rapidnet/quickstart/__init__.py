"""Does it all work here? Everything in one command, on data that needs no download."""
