"""Which changes of a network or its training are worth having? Studies over paired seeds, and runs held together."""
