"""How often a verdict is wrong where the truth lies exactly on the threshold.

Populations whose means are known are sampled, judged by circuitlang's own judgement, and the wrong
verdicts counted. `python -m calibration` prints the tables of docs/calibration.md.
"""
