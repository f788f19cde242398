"""Whole programs, written for rio-mucho, that run as programs do."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest


def test_a_program_may_fork_after_a_run(tif, out, read, tmp_path):
    """Fork, where that is the default, and a run in the child, as rio-mucho did."""
    program = f"""
        import multiprocessing
        import sys
        import rio_mucho_cli as riomucho

        def double(data, window, ij, global_args):
            return data[0] * 2

        def run(path):
            options = dict(riomucho.utils.getOptions({tif!r}), compress="deflate")
            riomucho.RioMucho([{tif!r}], path, double, options=options).run(2)

        run({out!r})
        child = multiprocessing.get_context("fork").Process(target=run, args=({out!r},))
        child.start()
        child.join(40)
        sys.exit(child.exitcode)
    """
    path = tmp_path / "forks.py"
    path.write_text(textwrap.dedent(program))
    subprocess.run([sys.executable, "-W", "ignore", str(path)], check=True, timeout=60)
    np.testing.assert_array_equal(read(out), read(tif) * 2)


PROGRAM = """
    import functools
    import sys
    import numpy as np
    import rasterio
    import {package} as riomucho

    scale = 3

    @functools.lru_cache
    def factor():
        return scale

    def scaled(data, window, ij, global_args):
        return np.array([d[0] // global_args["divide"] * factor() for d in data])

    with rasterio.open(sys.argv[1]) as src:
        windows = [[window, ij] for ij, window in src.block_windows()]
        options = src.meta
        options.update(count=2)

    with riomucho.RioMucho([sys.argv[1], sys.argv[1]], sys.argv[2], scaled,
            windows=windows, global_args={{"divide": 2}}, options=options) as rm:
        rm.run(4)
"""


@pytest.mark.parametrize("how", ["file", "stdin"])
def test_a_program_without_a_guard_defining_its_own_function(tmp_path, tif, out, read, how):
    program = textwrap.dedent(PROGRAM.format(package="rio_mucho_cli"))
    path = tmp_path / "program.py"
    path.write_text(program)
    command, stdin = ([str(path)], None) if how == "file" else (["-"], program)
    done = subprocess.run(
        [sys.executable, *command, tif, out],
        input=stdin, capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ),
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    np.testing.assert_array_equal(read(out), np.repeat(read(tif) // 2 * 3, 2, axis=0))


MODULES = {
    "settings.py": """
        print("settings was imported", flush=True)
        limit = 1
    """,
    "work.py": """
        import numpy as np
        import rasterio
        import settings

        print("work was imported", flush=True)
        with rasterio.open("in.tif", "w", driver="GTiff", width=64, height=48, count=1,
                dtype="uint8", tiled=True, blockxsize=16, blockysize=16,
                transform=rasterio.Affine(1, 0, 0, 0, -1, 0)) as dst:
            dst.write(np.ones((1, 48, 64), "uint8"))

        class WrongError(Exception):
            pass

        def add(data, window, ij, global_args):
            return data[0] + settings.limit

        def fail(data, window, ij, global_args):
            raise WrongError("at", ij)
    """,
    "program.py": """
        import sys
        import rio_mucho_cli as riomucho
        import settings
        import work

        settings.limit = 7
        with riomucho.RioMucho(["in.tif"], "out.tif", work.add) as rm:
            rm.run(2, executor=sys.argv[1])
        try:
            with riomucho.RioMucho(["in.tif"], "out.tif", work.fail) as rm:
                rm.run(2, executor=sys.argv[1])
        except riomucho.MuchoChildError as error:
            print(isinstance(error.exception, work.WrongError), error.exception.args[0])
    """,
}


@pytest.mark.parametrize(
    "executor",
    ["serial", "threads", "processes", pytest.param("dask", marks=pytest.mark.campaign)],
)
def test_a_program_whose_modules_write_files_when_they_are_imported(tmp_path, read, executor):
    """Workers do not import them, and see what the program has set in them."""
    for name, text in MODULES.items():
        (tmp_path / name).write_text(textwrap.dedent(text))
    done = subprocess.run(
        [sys.executable, "program.py", executor],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        ["settings was imported", "work was imported", "True at"],
    ), done.stderr
    np.testing.assert_array_equal(read(tmp_path / "out.tif"), np.full((1, 48, 64), 8))
