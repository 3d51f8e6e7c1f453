"""What can be done with a trained model? Prediction on images and videos, and what is made of its results.

Knows data, model and evaluate; nothing of runs. Begin with predict.py.
"""
