"""What is measured, a module each: `contenders` do the same work in two ways, `measure` times them in turns."""
