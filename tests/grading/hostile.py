"""Submissions that want points without work, or harm. All of them must score 0, and harm nobody.

Each is a piece of code in front of two functions that answer nothing.
"""

STUBS = """
def double(numbers):
    return 0

def total(numbers):
    return 0
"""

FIND_TOKEN = """
import sys
frame = sys._getframe()
while frame and "job" not in frame.f_locals:
    frame = frame.f_back
job, say, report = frame.f_locals["job"], frame.f_locals["say"], frame.f_locals["report"]
"""

HOSTILE = {
    "an endless loop": "while True: pass",
    "endless loops in the functions": "def double(numbers):\n    while True: pass\ntotal = double",
    "an endless loop that catches everything": """
def double(numbers):
    while True:
        try:
            while True: pass
        except BaseException: pass
total = double
""",
    "a fork": "import os\nos.fork()",
    "a fork bomb by the back door": """
import _posixsubprocess, posix, sys
try:
    posix.fork()
finally:
    _posixsubprocess.fork_exec([b"/bin/sh"], [b"/bin/sh"], True, (), None, None, -1, -1, -1, -1,
        -1, -1, -1, -1, True, False, 0, None, None, None, -1, None, False)
""",
    "another process": "import subprocess\nsubprocess.run(['true'])",
    "a shell": "import os\nos.system('true')",
    "ten gigabytes": "import numpy\nheap = numpy.ones(10 * 2**30, dtype='u1')",
    "ten gigabytes in small pieces": "heap = []\nwhile True: heap.append(bytearray(10**7))",
    "the end of the process": "import os\nos._exit(0)",
    "an orderly end": "import sys\nsys.exit(0)",
    "the end of the process in a function": """
import os
def double(numbers): os._exit(0)
total = double
""",
    "a crash": "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
    "patched comparisons": """
import builtins, numpy, math
numpy.allclose = numpy.array_equal = numpy.isclose = math.isclose = lambda *a, **k: True
class AssertionError(Exception): pass
builtins.AssertionError = AssertionError
builtins.all = lambda *a: True
""",
    "an answer that equals everything": """
import numpy
class Yes(float):
    def __eq__(self, other): return True
    def __abs__(self): return 0.0
    def __sub__(self, other): return self
    __rsub__, __hash__ = __sub__, float.__hash__
def double(numbers):
    return Yes(0)
total = double
""",
    "reading the solutions": """
from pathlib import Path
import sys
tests = Path(sys.argv[0]).resolve().parent
exec((tests / "toy" / "solutions.py").read_text())
""",
    "taking the guard apart": """
import __main__, builtins, os, posixpath, sys
__main__.NOT_TO_DO, __main__.NOT_TO_IMPORT = (), set()
builtins.isinstance = lambda *a: True
builtins.type = lambda *a: int
builtins.PermissionError = builtins.ImportError = lambda *a: None
os.path.realpath = posixpath.abspath = lambda path: os.devnull
class Path(str):
    def startswith(self, *a): return True
    def __contains__(self, other): return False
folder = sys.argv[0].rsplit("/", 1)[0]
for path in (Path(folder + "/toy/solutions.py"), os.__file__ + "/../../.." + folder):
    try: exec(open(path).read())
    except BaseException: pass
""",
    "importing the solutions": """
import sys
sys.path.insert(0, sys.argv[0].rsplit("/", 1)[0] + "/toy")
sys.meta_path = [each for each in sys.meta_path if "hook" not in str(each)]
from solutions import double, total
""",
    "importing the tests": """
import sys
sys.path.insert(0, sys.argv[0].rsplit("/", 2)[0])
import grading.toy
""",
    "importing the course": "import common.measures.ranking",
    "importing pytorch-metric-learning": "from pytorch_metric_learning.losses import ArcFaceLoss",
    "running the source of a library": """
import sysconfig
path = sysconfig.get_paths()["purelib"] + "/pytorch_metric_learning/losses/arcface_loss.py"
exec(open(path).read())
""",
    "looking for the answers in memory": """
import gc
found = [each for each in gc.get_objects() if isinstance(each, dict) and "expected" in each]
""",
    "a forged report on all channels": """
import json, os
line = json.dumps({"token": "0" * 32, "is_loaded": True, "values": 1, "points": 5}) + "\\n"
for number in range(3, 30):
    try:
        for _ in range(9): os.write(number, line.encode())
    except OSError: pass
""",
    "a forged report with the right token": FIND_TOKEN
    + """
say(is_loaded=True)
for _ in range(9): say(values={"points": 5, "state": "right"}, points=5, state="right")
""",
    "a torn report": FIND_TOKEN
    + "report.write('{\"token\": '); report.flush()\nimport os\nos._exit(0)",
    "a report that never ends": FIND_TOKEN + "while True: report.write('9' * 10**6)",
    "printing a fake one": """
print('{"token": "", "values": {"points": 5}}')
print("2 passed in 0.01s")
print("1 double 2 of 2\\nall 5 of 5")
""",
    "printing without end": "while True: print('passed ' * 1000)",
    "writing the grades": "open('grades.json', 'w').write('{\"points\": 5}')",
    "removing what is there": "import shutil\nshutil.rmtree('.')",
    "killing the grader": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)",
    "killing the grader's group": "import os, posix\nposix.killpg(os.getpgid(os.getppid()), 9)",
    "lifting the limits": "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (-1, -1))",
    "calling into the system": "import ctypes\nctypes.CDLL(None)._exit(0)",
    "closing all channels": "import os\nos.closerange(0, 64)",
    "a network": "import socket\nsocket.create_connection(('127.0.0.1', 9))",
    "threads that never end": """
import threading
def loop():
    while True: pass
for _ in range(4): threading.Thread(target=loop).start()
""",
    "an answer that holds itself": """
def double(numbers):
    heap = []
    heap.append(heap)
    return heap
total = double
""",
    "an answer without end": "def double(numbers):\n    return 'x' * 10**8\ntotal = double",
    "an array of objects": """
import numpy
def double(numbers):
    return numpy.array([print, open], dtype=object)
total = double
""",
    "not Python": "this is no Python",
    "nothing": "\0",
}
