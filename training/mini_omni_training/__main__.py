"""`python -m mini_omni_training <phase>`: each phase reads what earlier ones left in --work."""

from .cli import main

main()
