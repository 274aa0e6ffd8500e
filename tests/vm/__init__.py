"""A virtual machine as a test bed: for what needs a kernel of its own. See docs/how-to."""
