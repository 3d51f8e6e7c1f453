"""Which detections of a video's frames are the same object? Ids by ByteTrack, frame by frame.

Knows what deploy knows. Begin with tracker.py.
"""
