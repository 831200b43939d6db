"""Models and runs: the only package that imports torch.

OpenMP's threads must not spin while they wait: on a machine that is shared, that makes every
small operation many times slower. The variable is read when torch is first imported.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
