"""Answers Anthropic Messages requests from many providers of language models, one of them built in."""
