"""Bad messages by the hundred thousand against live processes; see README.md in this folder."""
