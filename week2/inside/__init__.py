"""The parts of `look_inside.py`: each asks the network one thing and returns what it found."""
