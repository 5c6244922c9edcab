"""What the operating system offers: files, names, locks, memory, signals, standard streams; strict JSON; profiles."""
