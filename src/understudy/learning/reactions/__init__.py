"""What the room makes of replies: votes, laughs, and how much more of them than was expected."""
