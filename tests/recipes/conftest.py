import sys
from pathlib import Path

from training_fixtures import strategy, teacher, teacher_directory

# A recipe's script finds the modules beside it; so do the tests.
sys.path.insert(0, str(Path(__file__).parents[2] / "recipes"))

__all__ = ["strategy", "teacher", "teacher_directory"]
