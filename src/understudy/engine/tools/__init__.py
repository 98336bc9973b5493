"""What a brain may do besides talking: tools, who may have them called, and who confirms it."""
