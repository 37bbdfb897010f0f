"""Recordings: encoded media written as it comes, without decoding, into files that survive a crash."""
