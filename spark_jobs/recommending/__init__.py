"""What users did and what items say, to an order of the items for each user; nothing here knows Spark but `stage`."""
