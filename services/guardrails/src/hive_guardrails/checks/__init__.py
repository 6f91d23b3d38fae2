"""The checks, one file each: the list of files is the list of what can be found."""
