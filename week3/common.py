"""Shows this folder's scripts where the course's own package `common` is, installed or not.

Python looks beside a script first, and finds this file; it makes way for the package at once.
"""

import importlib
import sys
from pathlib import Path

sys.path.insert(0, next(str(each) for each in Path(__file__).parents if (each / "common").is_dir()))
del sys.modules[__name__]
importlib.import_module(__name__)
