"""What every week needs.

Threads of PyTorch's OpenMP spin while they wait for each other. Beside another busy program each
spins away the time that the other one needs, and training falls to an eighth of its speed; waiting
quietly costs little where nothing else runs (tests/benchmarks/busy_machine.py). OpenMP reads this
when torch is loaded, so that every script imports `common` first; what a person has set stays.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
