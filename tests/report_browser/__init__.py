"""The page of `circ report` in headless Chromium.

These tests run where Playwright for Python (`pip install 'circuitlang[browser]'`) and a Chromium are
found: `CHROMIUM`, or `chromium`, `chromium-browser` or `google-chrome` on the path.
"""
