"""Using a model: prediction on images and videos."""
