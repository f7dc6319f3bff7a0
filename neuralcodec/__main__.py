"""``python -m neuralcodec``."""

from neuralcodec.cli import main

if __name__ == "__main__":
    main()
