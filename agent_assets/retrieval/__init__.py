"""Finding what one elder told: by meaning (embeddings), by words (BM25), by years and by names."""
