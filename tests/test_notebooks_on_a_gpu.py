"""Every cell of every notebook runs where `vartut.device` finds a GPU, as on Colab: nothing mixes devices.

The GPU is the one of `fake_gpu.py`, which says that it is a T4.  Outputs are not compared: they are the CPU's.
"""

import contextlib
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from notebook_sources import code_cells, notebooks

ON_THE_CPU = ("01", "03", "04", "05")  # the first computes on no device, others on the CPU: all see the same numbers
T4 = {
    "is_available": True,
    "get_device_capability": (7, 5),
    "get_device_name": "Tesla T4",
    "mem_get_info": (14 * 2**30, 15 * 2**30),
    "synchronize": None,
}


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem[:2])
def test_a_notebook_runs_on_a_gpu(path, tmp_path):
    environment = {"MPLBACKEND": "Agg", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "VARTUT_DEVICE": "cuda:0"}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "PYTHONHASHSEED": "0"}
    with mock.patch.dict("os.environ", environment):
        run = subprocess.run([sys.executable, __file__, path], cwd=path.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-4000:]
    made = int(run.stdout.splitlines()[-1].removesuffix(" tensors on the GPU"))
    assert made > 1000 or path.stem[:2] in ON_THE_CPU, "hardly anything was computed on the GPU"


def execute(path: Path) -> None:
    """Run the code cells of a notebook in one namespace, on the fake GPU; says how many tensors were there."""
    import matplotlib.pyplot as plt
    import nbformat
    from fake_gpu import OnGPU, fake_gpu

    with fake_gpu(), contextlib.ExitStack() as patches:
        for name, value in T4.items():
            patches.enter_context(mock.patch(f"torch.cuda.{name}", return_value=value))
        names = {"__name__": "__main__"}
        for number, cell in enumerate(code_cells(nbformat.read(path, 4))):
            exec(compile(cell.source, f"code cell {number} ({cell.id})", "exec"), names)
            plt.close("all")
        print(f"\n{OnGPU.made} tensors on the GPU")


if __name__ == "__main__":
    execute(Path(sys.argv[1]))
