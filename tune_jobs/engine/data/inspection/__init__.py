"""What is known of a table before it is learnt from: its columns, and what looks wrong."""
