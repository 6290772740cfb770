"""`python -m chargen` is `chargen`; `torchrun -m chargen` needs it."""

from chargen.cli import main

if __name__ == "__main__":
    main(prog_name="chargen")
