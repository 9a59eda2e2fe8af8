"""`python -m mini_omni_training <phase>`: each phase reads what the one before it left in --work."""

from .cli import main

main()
