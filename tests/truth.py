"""What is true of a scene, decided from its values by benchmarks/judge_error.py, without any code of the judge."""

import importlib.util
from pathlib import Path

_path = Path(__file__).parents[1] / "benchmarks" / "judge_error.py"
_spec = importlib.util.spec_from_file_location("judge_error", _path)
judge_error = importlib.util.module_from_spec(_spec)  # its damages of pictures are used too
_spec.loader.exec_module(judge_error)
true_of, false_changes = judge_error.true_of, judge_error.false_changes
