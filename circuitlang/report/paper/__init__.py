"""A check as parts of a paper: LaTeX, BibTeX, Markdown and CSV.

    document --rows--> Row --latex, markdown--> table
    figure --tikz--> picture
    resolved spec, lock --bibtex--> entries
    document --sheet--> CSV

Every text of a spec, lock or prompt is untrusted: it goes through `latex.escape` or its kin.
"""
