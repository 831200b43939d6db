"""What a lock says, and whether it is still so.

    front --facts--> what a check rests on --stale--> how that differs from a lock
    outcome --results--> a lock with verdicts;  lock --frozen--> the table without a model
    lock and a new check --verify--> every number compared

`circuitlang.lockfile` has the file itself.
"""
