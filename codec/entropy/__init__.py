"""Integer probabilities, and the rANS coder that turns them into bytes."""
