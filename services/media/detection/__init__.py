"""Detection: what moves in pictures and who speaks in sound, found beside the transport and never in its way."""
