"""Pages as a browser reads them: their elements, attributes and texts."""
