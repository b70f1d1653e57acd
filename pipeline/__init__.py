"""Raw clips to cached tensors: a folder per step, no command line, no training."""
