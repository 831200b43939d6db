"""Tasks: from a `task` block to prompts in tokens.

    statement --task--> TaskSpec --sampling--> PromptSet

`text` evaluates the expressions of slots, `halves` says which half a prompt is of, `population`
and `corruption` draw, `assembly` puts a prompt together, `tokenization` and `answers` check it
token by token.
"""
