"""From records to what people read: runs, leaderboard, contrasts and their report."""
