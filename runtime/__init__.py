"""What every process needs to start, be watched, and stop; it knows no service."""
