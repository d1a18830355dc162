"""What do records of hand-made searches really show? Pure: rows in, findings out."""
