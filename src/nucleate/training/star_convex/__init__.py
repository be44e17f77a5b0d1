"""Training of the star-convex network: crops, their appearance, targets, losses over batches."""
