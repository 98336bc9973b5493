"""What was said, redacted, as files for other tools."""
