"""What may stand in each kind of file: one reader for each, and the schema of all."""
