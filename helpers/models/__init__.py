"""Models: where weights come from, the two engines that generate with them, and batched generation that resumes."""
