"""Real-time audio and video: one source, encoded once, sent to every viewer over WebRTC."""
