"""Raw clips to cached tensors: one module a step, no command line, no training."""
