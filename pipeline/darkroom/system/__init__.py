"""What the operating system offers: files, names, locks, memory, signals, standard streams; and strict JSON."""
