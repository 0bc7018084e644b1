"""Where rooms meet: a verb a room, each reads the last one's file."""
