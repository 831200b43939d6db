"""`circ report`: a check as one self-contained HTML page, and its circuit as an SVG.

    document, resolved spec, numbers --contents--> Contents --render--> HTML
    circuit, groups --figure--> Figure --render--> SVG

Everything in a spec or a prompt is untrusted. No module here writes markup: it is in the templates
alone, and Jinja escapes what they print.
"""
