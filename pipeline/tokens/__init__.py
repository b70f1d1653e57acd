"""Visual and text tokens: encoders, batching, layout, compression, class prompts."""
