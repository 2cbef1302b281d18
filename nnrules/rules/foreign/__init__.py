"""Models in somebody else's SConstruct: their environments, their flags, their folders."""
