"""From a front with prompts to numbers: what is asked, looked up, executed, stored, searched for.

batch      what is asked of one model on one task's prompts, and what is known of it
runner     the one way to a run's numbers: from the store, or executed and stored
unfinished chunks kept while an execution goes on
measuring  every number that a front's claims need
measured   what comes of it, and the form in which the judgement reads it
search, falsify   members and prompts that refute a claim
reference_sample  a sample of runs executed by the reference executor too
"""
