"""Models whose circuits are known, and how often the verdicts on claims about them are wrong.

`python -m truth` states claims of which the exact value is known, true and false ones, decides
them and counts. `wiring` writes the models, `subjects` says what is planted in them, `exact`
computes values with the reference executor, `statements` puts claims around these values, `trials`
decides them, `tally` counts. docs/truth.md explains what is counted and why.
"""
