"""Several outputs of one run: each is as it would be alone, and all appear or none."""

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from rio_mucho_cli import (
    Job,
    MuchoChildError,
    MuchoError,
    Output,
    OutputError,
    ResultError,
    RioMucho,
    UsageError,
    run,
)
from rio_mucho_cli.windows import Size

WAYS = [("serial", 1), ("threads", 2), ("processes", 2)]


def parts(data, window, ij, global_args):
    """Return arrays of other dtypes and with other numbers of bands."""
    band = data[0][0]
    return {
        "half": (band / 2).astype("float32"),
        "dark": (band < 100).astype("uint8"),
        "rgb": np.stack([band, band // 2, 255 - band]).astype("uint8"),
    }


def two(data, window, ij, global_args):
    return {"first": data[0], "second": data[0] * 2}


def hidden(data, window, ij, global_args):
    band = data[0]
    return {"first": np.ma.masked_less(band, 50), "second": np.ma.masked_less(band, 100)}


def late(data, window, ij, global_args):
    if ij == (1, 2):
        raise ArithmeticError("late")
    return two(data, window, ij, global_args)


@pytest.fixture
def source(make_raster):
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    return str(make_raster(width=150, height=110, dtype="uint8", **tiles))


@pytest.fixture
def job(source, tmp_path):
    def make(function=two, **given):
        return Job(**{
            "inputs": [source],
            "output": str(tmp_path / "first.tif"),
            "function": function,
            "windows": Size(64, 64),
            "also": [Output(path=str(tmp_path / "second.tif"), name="second")],
            **given,
        })  # fmt: skip

    return make


@pytest.fixture
def contents(tmp_path):
    """Return a function that gives the contents of all files: by name."""

    def read_all():
        return {
            str(path.relative_to(tmp_path)): path.read_bytes()
            for path in tmp_path.rglob("*")
            if path.is_file()
        }

    return read_all


class TestEachIsAsItWouldBeAlone:
    @pytest.mark.sweep(1)
    @pytest.mark.parametrize(("executor", "jobs"), WAYS)
    @pytest.mark.parametrize("windows", [None, Size(64, 64), Size(50, 30)], ids=str)
    def test_formats_dtypes_and_bands(self, job, read, tmp_path, windows, executor, jobs):
        made = job(
            parts,
            windows=windows,
            executor=executor,
            jobs=jobs,
            also=[
                Output(
                    path=tmp_path / "dark.tif", name="dark", driver="COG", count=1,
                    creation_options={"compress": "zstd", "blocksize": "128"},
                    nodata=255, keep_nodata=False,
                ),
                Output(path=tmp_path / "rgb.png", name="rgb"),
            ],
        )  # fmt: skip
        run(made)
        expected = parts([read(made.inputs[0])], None, None, None)
        np.testing.assert_array_equal(read(made.output)[0], expected["half"])
        np.testing.assert_array_equal(read(tmp_path / "dark.tif")[0], expected["dark"])
        np.testing.assert_array_equal(read(tmp_path / "rgb.png"), expected["rgb"])
        with rasterio.open(tmp_path / "dark.tif") as dst:
            assert dst.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert (dst.compression.name, dst.nodata) == ("zstd", 255)
        with rasterio.open(made.output) as dst:
            assert dst.dtypes == ("float32",)
            assert np.isnan(dst.nodata)

    @pytest.mark.parametrize("jobs", [1, 3])
    def test_bytes_are_those_of_a_run_of_its_own(self, job, tmp_path, jobs):
        # Without metadata: each says by which function it was made.
        options = {"stats": True, "overviews": [2], "metadata": False}
        run(job(jobs=jobs, executor="threads", **options))
        for name, function in (
            ("first", lambda data, *args: data[0]),
            ("second", lambda data, *args: data[0] * 2),
        ):
            alone = tmp_path / "alone" / f"{name}.tif"
            alone.parent.mkdir(exist_ok=True)
            run(job(function, output=str(alone), also=[], **options))
            assert alone.read_bytes() == (tmp_path / f"{name}.tif").read_bytes()

    def test_windows_that_fit_one_and_not_the_other(self, job, read, tmp_path, caplog):
        caplog.set_level("INFO", "rio_mucho_cli")
        large = {"tiled": "yes", "blockxsize": "96", "blockysize": "96"}
        also = [Output(path=tmp_path / "second.tif", name="second", creation_options=large)]
        made = job(also=also)
        run(made)
        assert caplog.text.count("GDAL writes in the main process, because windows are") == 1
        array = read(made.inputs[0])
        np.testing.assert_array_equal(read(made.output), array)
        np.testing.assert_array_equal(read(tmp_path / "second.tif"), array * 2)

    @pytest.mark.parametrize(
        "options",
        [
            {"tiled": "no", "blockysize": "3"},
            {"blockxsize": "32", "blockysize": "48"},
            {"blockxsize": "512", "blockysize": "512"},
        ],
        ids=str,
    )
    def test_windows_that_nobody_gives_fit_all(self, job, read, tmp_path, caplog, options):
        caplog.set_level("INFO", "rio_mucho_cli")
        also = [Output(path=tmp_path / "second.tif", name="second", creation_options=options)]
        made = job(also=also, windows=None)
        run(made)
        assert "GDAL writes" not in caplog.text
        np.testing.assert_array_equal(read(tmp_path / "second.tif"), read(made.inputs[0]) * 2)

    def test_masks_become_nodata_here_and_a_mask_there(self, job, read, tmp_path):
        also = [Output(path=tmp_path / "second.tif", name="second", nodata=7, keep_nodata=False)]
        made = job(hidden, also=also)
        run(made)
        array = read(made.inputs[0])
        with rasterio.open(made.output) as dst:
            np.testing.assert_array_equal(dst.dataset_mask() == 255, array[0] >= 50)
        np.testing.assert_array_equal(
            read(tmp_path / "second.tif"), np.where(array < 100, 7, array)
        )

    @pytest.mark.parametrize("stats", [False, True])
    @pytest.mark.parametrize("least", [300, 100])
    def test_windows_that_are_skipped_are_nodata_in_all(
        self, job, make_raster, tmp_path, least, stats
    ):
        array = np.full((1, 110, 150), 300, "uint16")
        array[:, :64, :64] = least
        source = make_raster("masked.tif", data=array, nodata=300)
        run(job(inputs=[str(source)], skip_masked=True, stats=stats, dtype="int32"))
        for name, value in (("first", 100), ("second", 200)):
            with rasterio.open(tmp_path / f"{name}.tif") as dst:
                read = dst.read(1, masked=True)
                assert read[64:].mask.all()
                if least == 100:
                    assert (read[:64, :64] == value).all()

    def test_names_and_colours_are_those_of_bands_that_correspond(self, job, tmp_path, source):
        with rasterio.open(source, "r+") as dst:
            dst.write_colormap(1, {value: (value, 0, 0, 255) for value in range(256)})
            dst.set_band_description(1, "classes")
        made = job(parts, also=[
            Output(path=tmp_path / "dark.tif", name="dark"),
            Output(path=tmp_path / "rgb.tif", name="rgb"),
        ])  # fmt: skip
        run(made)
        found = {}
        for name in ("first", "dark", "rgb"):
            with rasterio.open(tmp_path / f"{name}.tif") as dst:
                found[name] = dst.colorinterp[0], dst.descriptions[0]
        assert found == {
            "first": (ColorInterp.gray, "classes"),
            "dark": (ColorInterp.palette, "classes"),
            "rgb": (ColorInterp.red, None),
        }


def test_the_first_output_gets_what_no_other_has_whatever_its_name(job, tmp_path, read):
    run(job(lambda data, *args: {"second": data[0] * 2, 3: data[0]}))
    np.testing.assert_array_equal(read(tmp_path / "first.tif"), read(tmp_path / "in.tif"))


def test_a_dict_of_one_array_needs_no_other_output(job, tmp_path, read):
    run(job(lambda data, *args: {"only": data[0]}, also=[]))
    np.testing.assert_array_equal(read(tmp_path / "first.tif"), read(tmp_path / "in.tif"))


def test_a_memory_limit_knows_of_all_outputs(source, job, tmp_path):
    also = [
        Output(path=tmp_path / f"{name}.tif", name=str(name), dtype="float64", count=100)
        for name in range(20)
    ]
    with pytest.raises(UsageError, match="the memory limit is 200 MB"):
        run(job(also=also, mem_limit=200, windows=Size(1024, 1024)))


class TestRioMucho:
    @pytest.mark.parametrize(("processes", "executor"), [(1, "serial"), (2, "threads")])
    @pytest.mark.parametrize("windows", [None, [(((0, 70), (0, 150)), (0, 0))]], ids=str)
    def test_more_outputs(self, source, tmp_path, read, processes, executor, windows):
        also = [Output(path=tmp_path / "second.tif", name="second", dtype="int32")]
        with RioMucho([source], tmp_path / "first.tif", two, windows=windows, also=also,
                      executor=executor) as rm:  # fmt: skip
            rm.run(processes)
        rows = 110 if windows is None else 70
        array = read(source)[:, :rows]
        second = read(tmp_path / "second.tif")
        assert second.dtype == np.int32
        np.testing.assert_array_equal(second[:, :rows], array * 2)
        np.testing.assert_array_equal(read(tmp_path / "first.tif")[:, :rows], array)

    def test_overviews_and_statistics(self, source, tmp_path):
        given = {"overviews": [2, 4], "overview_resampling": "average", "stats": True}
        also = [Output(path=tmp_path / "second.tif", name="second")]
        with RioMucho([source], tmp_path / "first.tif", two, also=also, **given) as rm:
            rm.run(1)
        for name in ("first.tif", "second.tif"):
            with rasterio.open(tmp_path / name) as dst:
                assert dst.overviews(1) == [2, 4]
                assert "STATISTICS_MEAN" in dst.tags(1)

    def test_a_dataset_and_a_file(self, source, tmp_path, read, profile_of):
        profile = {**profile_of(source), "driver": "GTiff"}
        also = [Output(path=tmp_path / "second.tif", name="second")]
        dst = rasterio.open(tmp_path / "first.tif", "w", **profile)
        with RioMucho([source], dst, two, also=also) as rm:
            rm.run(1)
        assert dst.closed
        np.testing.assert_array_equal(read(tmp_path / "first.tif"), read(source))
        np.testing.assert_array_equal(read(tmp_path / "second.tif"), read(source) * 2)

    def test_a_dataset_has_no_statistics(self, source, tmp_path, profile_of):
        dst = rasterio.open(tmp_path / "first.tif", "w", **profile_of(source))
        rm = RioMucho([source], dst, lambda data, *args: data[0], stats=True)
        with dst, pytest.raises(UsageError, match="written to an open dataset"):
            rm.run(1)


# What goes wrong, what is raised, and what it says.
FAILURES = {
    "the function raises late": (MuchoChildError, "raised ArithmeticError: late", late, {}),
    "no folder": (OutputError, "does not exist: make", two, {"path": "nowhere/second.tif"}),
    "a folder that takes nothing": (OutputError, "takes no such file", two, {"path": "/proc/x"}),
    "a creation option": (
        OutputError, "second.tif cannot be made: .*foo.* COMPRESS", two,
        {"creation_options": {"compress": "foo"}},
    ),
    "no such driver": (OutputError, "no driver 'FOO'", two, {"driver": "FOO"}),
    "a format without such a dtype": (
        OutputError, "second.png cannot be made: .*PNG driver", two,
        {"path": "second.png", "dtype": "float64"},
    ),
    "nodata that does not fit": (
        UsageError, "nodata 300 does not fit uint8", two, {"nodata": 300, "keep_nodata": False},
    ),
    "a number of bands": (ResultError, "for 'second' .*expected \\(3, 64", two, {"count": 3}),
    "no dict": (
        ResultError, "returned a ndarray, expected a dict", lambda data, *args: data[0], {},
    ),
    "no such name": (
        ResultError, "dict without 'second'.*did you mean 'secund'",
        lambda data, *args: {"first": data[0], "secund": data[0]}, {},
    ),
    "more names than outputs": (
        ResultError, "'first', 'third'. for the first output: give the others",
        lambda data, *args: {**two(data, *args), "third": data[0]}, {},
    ),
    "nothing for the first": (
        ResultError, "returned nothing for the first output",
        lambda data, *args: {"second": data[0]}, {},
    ),
    "no array": (
        ResultError, "for 'second' the function returned None",
        lambda data, *args: {"first": data[0], "second": None}, {},
    ),
    "another shape": (
        ResultError, "for 'second' the function returned an array of shape",
        lambda data, *args: {"first": data[0], "second": data[0][:, 1:]}, {},
    ),
    "another dtype later": (
        ResultError, "for 'second' the function returned 1 bands of float64",
        lambda data, window, ij, args: {
            "first": data[0], "second": data[0].astype("float64" if ij == (1, 1) else "float32"),
        }, {},
    ),
}  # fmt: skip


class TestAllOrNone:
    @pytest.mark.sweep(1)
    @pytest.mark.parametrize(("executor", "jobs"), WAYS[:2])
    @pytest.mark.parametrize("failure", FAILURES)
    def test_a_failure_leaves_all_old_files(
        self, job, tmp_path, contents, leftovers, failure, executor, jobs
    ):
        error, says, function, given = FAILURES[failure]
        for name in ("first.tif", "second.tif", "second.tif.aux.xml", "second.png"):
            (tmp_path / name).write_text(f"old {name}")
        before = contents()
        path = tmp_path / given.get("path", "second.tif")
        also = [Output(**{"name": "second", **given, "path": path})]
        with pytest.raises(error, match=says):
            run(job(function, also=also, overwrite=True, executor=executor, jobs=jobs))
        assert contents() == before
        assert not leftovers()

    def test_nothing_is_made_in_worker_processes_either(self, job, contents, leftovers):
        before = contents()
        with pytest.raises(MuchoChildError, match="late"):
            run(job(late, executor="processes", jobs=2))
        assert contents() == before
        assert not leftovers()

    @pytest.mark.parametrize("existing", ["first.tif", "second.tif"])
    def test_each_that_exists_wants_overwrite(
        self, job, tmp_path, contents, leftovers, existing, read
    ):
        (tmp_path / existing).write_text("old")
        before = contents()
        with pytest.raises(OutputError, match=f"{existing} exists: pass overwrite=True"):
            run(job())
        assert contents() == before
        assert not leftovers()
        run(job(overwrite=True))
        np.testing.assert_array_equal(
            read(tmp_path / "first.tif") * 2, read(tmp_path / "second.tif")
        )

    @pytest.fixture
    def with_sidecars(self, job, tmp_path):
        """A job of three outputs, which come as seven files."""
        also = [
            Output(path=tmp_path / "b.img", name="second"),
            Output(path=tmp_path / "c.bin", name="third", driver="ENVI"),
        ]
        return job(
            lambda data, *args: {**two(data, *args), "third": data[0]},
            output=str(tmp_path / "a.png"),
            also=also,
            overwrite=True,
        )

    @pytest.mark.parametrize("old", [True, False])
    @pytest.mark.parametrize("number", range(7))
    def test_a_move_that_fails(
        self, with_sidecars, tmp_path, contents, leftovers, monkeypatch, old, number
    ):
        if old:
            run(with_sidecars)
            (tmp_path / "c.bin.ovr").write_text("stale")
        before, replace, moves = contents(), Path.replace, []

        def move(self, target):
            if self.parent.name.startswith(".mucho-"):
                moves.append(target)
                if len(moves) == number + 1:
                    raise PermissionError(13, "Permission denied")
            return replace(self, target)

        monkeypatch.setattr(Path, "replace", move)
        with pytest.raises(OutputError, match=r"cannot be put into place.*Permission denied"):
            run(with_sidecars)
        monkeypatch.undo()
        assert contents() == before
        assert not leftovers()
        run(with_sidecars)
        assert contents().keys() - {"in.tif"} == {
            "a.png", "a.png.aux.xml", "b.img", "b.img.aux.xml", "c.bin", "c.bin.aux.xml", "c.hdr",
        }  # fmt: skip

    def test_old_files_come_back_where_there_are_no_links(
        self, job, tmp_path, contents, leftovers, monkeypatch
    ):
        run(job())
        before = contents()

        def no_links(*args, **kwargs):
            raise OSError(95, "Operation not supported")

        replace, moves = Path.replace, []

        def move(self, target):
            moves.append(target)
            if Path(target) == tmp_path / "second.tif" and moves.count(target) == 1:
                raise PermissionError(13, "Permission denied")
            return replace(self, target)

        monkeypatch.setattr(os, "link", no_links)
        monkeypatch.setattr(Path, "replace", move)
        with pytest.raises(OutputError, match="cannot be put into place"):
            run(job(overwrite=True, creation_options={"compress": "lzw"}))
        assert contents() == before
        assert not leftovers()

    def test_ctrl_c_between_the_outputs(self, job, contents, leftovers, monkeypatch):
        from rio_mucho_cli.outputs import block_writer, writer

        run(job())
        before = contents()

        class Interrupting(block_writer.BlockWriter):
            def finish(self):
                super().finish()
                if "second" in self.target.path:
                    raise KeyboardInterrupt

        monkeypatch.setattr(writer, "BlockWriter", Interrupting)
        with pytest.raises(KeyboardInterrupt):
            run(job(overwrite=True))
        assert contents() == before
        assert not leftovers()


class TestPaths:
    @pytest.mark.parametrize(
        "path", ["first.tif", "./first.tif", "folder/../first.tif", "link.tif"]
    )
    def test_two_outputs_in_one_place(self, job, tmp_path, monkeypatch, contents, path):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "folder").mkdir()
        (tmp_path / "link.tif").symlink_to("first.tif")
        before = contents()
        with pytest.raises(UsageError, match=r"two outputs have the path .*: use different"):
            job(output="first.tif", also=[Output(path=path, name="second")], overwrite=True)
        assert contents() == before

    def test_two_outputs_with_a_file_in_common(self, job, tmp_path, contents, leftovers):
        before = contents()
        for overwrite in (False, True):
            also = [Output(path=tmp_path / "a.dat", name="second", driver="ENVI")]
            with pytest.raises(OutputError, match=r"a\.bin and .*a\.dat both come with .* a\.hdr"):
                run(job(output=str(tmp_path / "a.bin"), driver="ENVI", also=also,
                        overwrite=overwrite))  # fmt: skip
            assert contents() == before
            assert not leftovers()

    def test_an_output_called_like_the_sidecar_of_another(self, job, tmp_path, read):
        also = [Output(path=tmp_path / "first.tif.ovr", name="second", driver="GTiff")]
        for _ in range(2):
            made = job(also=also, overwrite=True)
            run(made)
            for path, factor in ((made.output, 1), (also[0].path, 2)):
                np.testing.assert_array_equal(read(path), read(made.inputs[0]) * factor)

    @pytest.mark.parametrize("which", ["output", "also"])
    def test_one_of_them_may_be_an_input(self, job, tmp_path, read, source, contents, which):
        array, before = read(source), contents()
        also = [Output(path=source, name="second")]
        given = {"also": also} if which == "also" else {"output": source}
        with pytest.raises(OutputError, match=r"is the input .*in\.tif: pass overwrite=True"):
            run(job(**given))
        assert contents() == before
        run(job(**given, overwrite=True, executor="threads", jobs=2))
        np.testing.assert_array_equal(read(source), array * (2 if which == "also" else 1))

    def test_outputs_may_be_links(self, job, tmp_path, read, source):
        (tmp_path / "deep").mkdir()
        (tmp_path / "second.tif").symlink_to(tmp_path / "deep" / "real.tif")
        run(job())
        assert (tmp_path / "second.tif").is_symlink()
        np.testing.assert_array_equal(read(tmp_path / "deep" / "real.tif"), read(source) * 2)


@pytest.mark.parametrize(
    ("also", "says"),
    [
        ([Output(path="a.tif")], "has no name"),
        ([Output(path="a.tif", name="")], "has no name"),
        (
            [Output(path="a.tif", name="a"), Output(path="b.tif", name="a")],
            "have the name 'a'",
        ),
    ],
)
def test_outputs_that_contradict_each_other(job, also, says):
    with pytest.raises(UsageError, match=says):
        job(also=also)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"dtype": "foo"}, "dtype is 'foo': expected one such as uint8"),
        ({"dtype": "str"}, "dtype is 'str'"),
        ({"dtype": "complex_int16"}, "dtype is 'complex_int16'"),
        ({"count": 0}, "count is 0: expected at least 1 band"),
        ({"dtype": "uint8", "nodata": -1, "keep_nodata": False}, "nodata -1 does not fit uint8"),
    ],
)
def test_outputs_that_make_no_sense(given, says):
    with pytest.raises(UsageError, match=says):
        Output(path="a.tif", **given)


def test_without_an_input_every_output_needs_a_profile(job):
    profile = {"driver": "GTiff", "width": 8, "height": 8, "count": 1, "dtype": "uint8"}
    with pytest.raises(UsageError, match="an output has no profile"):
        job(inputs=[], profile=profile, windows=[(((0, 8), (0, 8)), (0, 0))])


class TestCommand:
    TWO = (
        "import numpy as np\n"
        "def run(data, *args):\n"
        "    band = data[0][0]\n"
        "    return {'value': band, 'flag': band > 100, 'rgb': np.stack([band] * 3)}\n"
    )

    def test_outputs_with_options_of_their_own(self, mucho, module, read, profile_of):
        module(self.TWO, "two.py")
        flag = "flag=flag.tif,dtype=int16,nodata=-1,count=1,compress=LZW,Predictor=2,tiled=no"
        rgb = "rgb=rgb.png,driver=PNG,dtype=uint8,nodata=none,zlevel=1"
        result = mucho("--func", "two:run", "--also", flag, "--also", rgb, "-j", "2", "--stats",
                       "--overviews", "2")  # fmt: skip
        assert result.exit_code == 2
        assert "statistics" in result.stderr or "overviews" in result.stderr
        result = mucho("--func", "two:run", "--also", flag, "--also", rgb, "-j", "2", "-t", "int32",
                       "--quiet")  # fmt: skip
        assert (result.exit_code, result.output) == (0, "")
        source = read("a.tif")
        np.testing.assert_array_equal(read("out.tif"), source)
        np.testing.assert_array_equal(read("flag.tif"), source > 100)
        np.testing.assert_array_equal(read("rgb.png"), np.concatenate([source] * 3))
        profile = profile_of("flag.tif")
        assert [profile[name] for name in ("dtype", "nodata", "compress", "tiled")] == [
            "int16", -1, "lzw", False,
        ]  # fmt: skip
        assert read("out.tif").dtype == np.int32
        assert profile_of("rgb.png")["nodata"] is None

    def test_a_failure_names_the_array(self, mucho, module, leftovers, tmp_path):
        module(self.TWO, "two.py")
        result = mucho("--func", "two:run", "--also", "flag=f.tif", "--also", "rgb=r.tif,count=2")
        assert result.exit_code == 1
        assert "for 'rgb' the function returned an array of shape (3, 16, 16)" in result.stderr
        assert not leftovers()
        assert not {"out.tif", "f.tif", "r.tif"} & {path.name for path in tmp_path.iterdir()}


def test_remote_outputs_are_gone_after_a_failure(job, tmp_path):
    path = "/vsimem/test_outputs_together.tif"
    with pytest.raises(MuchoError, match="late"):
        run(job(late, also=[Output(path=path, name="second")]))
    assert not rasterio.shutil.exists(path)
    assert not (tmp_path / "first.tif").exists()
