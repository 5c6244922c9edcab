"""One command line's work: a dry run, or runs with their log, reports and summary."""
