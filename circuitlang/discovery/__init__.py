"""From a task to a first hypothesis: what finds circuits, none of which is evidence for one.

experiment  one model on one task's prompts, scored by one metric under one ablation
scores      one number per edge, from attribution, from exact effects or from a file
lens        what the stream says at each layer and position, and what each node adds at the end
"""
