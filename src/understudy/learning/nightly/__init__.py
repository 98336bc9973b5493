"""Learning without being asked: when, in which order, and by which process."""
