"""What differs between two specs, as a document, on the terminal and as Markdown."""
