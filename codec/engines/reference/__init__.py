"""The computations of the numpy engine. Every other engine gives the same bytes and pixels."""
