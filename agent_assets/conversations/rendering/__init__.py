"""Training rows as text and tokens: what a model reads, and what of it is learned."""
