"""pyinfra reads this file first, from the directory it is typed in."""

from ops import arguments

arguments.check()
