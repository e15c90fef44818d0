"""The commands of the command line, a module each; its function of the same name takes the words after it."""
