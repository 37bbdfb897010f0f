"""What sets a machine up for Pulsegate, and what runs it there."""
