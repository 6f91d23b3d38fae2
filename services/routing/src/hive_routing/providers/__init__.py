"""One file per provider dialect: the file list is the support matrix."""
