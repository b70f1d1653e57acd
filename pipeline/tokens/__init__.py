"""Visual and text tokens: the step, encoders, batching, layout, compression, class prompts."""
