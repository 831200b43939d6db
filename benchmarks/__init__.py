"""`make bench`: what deciding claims costs, in plain forwards and against a dense masked forward.

Importing the runtime first keeps OpenMP's threads from spinning, as in every other use.
"""

import circuitlang.runtime  # noqa: F401 - before torch is imported
