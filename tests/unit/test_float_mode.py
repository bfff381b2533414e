# SPDX-License-Identifier: Apache-2.0
"""Files do not depend on how the caller's thread rounds, and on nothing else that a process may set.

Models of the family ``local`` compute with floats. Where the code that computes cannot set the right mode,
it refuses. Models with latents use integers alone.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from every_backend import choices, chosen, label
from float_modes import MODES, float_modes
from small_pictures import pictures

import bbcodec
from bbcodec import backends
from bbcodec.errors import BBCodecError, FloatModeError
from bbcodec.families import batch
from bbcodec.families.local import float_mode
from bbcodec.jobs import Execution
from bbcodec.modelfile import registry

LOCAL = ("photo", "fast", "thumb")
LATENT = ("rvae", "flowpp", "markov")
BACKENDS = [name for name in backends.BACKENDS if name in backends.available()]
SIDE = {"numpy": 9, "numba": 30, "native": 40}  # pixels: NumPy takes a second for 1,000 of `photo`

SAYS = {  # what the error says of a mode
    "upward": "rounds floats up",
    "downward": "rounds floats down",
    "toward zero": "rounds floats towards zero",
    "flush": "subnormal floats as zero",
    "denormals are zero": "subnormal floats as zero",
    "upward, both": "rounds floats up",
}

Picture = np.ndarray[Any, Any]


@cache
def picture(backend: str) -> Picture:
    side = SIDE[backend]
    return pictures(1, side, side + 13, seed=5)[0]


def compress(model: str, backend: str, image: Picture | None = None) -> bytes:
    image = picture(backend) if image is None else image
    return bbcodec.compress(image, method="learned", model=model, backend=backend, threads=2)


def decompress(data: bytes, backend: str) -> Picture:
    return np.asarray(bbcodec.decompress(data, backend=backend, threads=2))


@cache
def normal(model: str, backend: str) -> bytes:
    """The file of a process like any other."""
    return compress(model, backend)


# ---------------------------------------------------------------------------------- the mode of floats


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("model", LOCAL + LATENT)
def test_native_files_do_not_depend_on_the_mode(model: str, mode: str) -> None:
    if "native" not in BACKENDS:
        pytest.skip("the native module is not built")
    expected = normal(model, "native")
    with float_modes().within(mode):
        data = compress(model, "native")
        back = decompress(expected, "native")
    assert data == expected
    assert np.array_equal(back, picture("native"))


@pytest.mark.parametrize("mode", SAYS)
@pytest.mark.parametrize("model", LOCAL)
@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "native"])
def test_python_refuses_a_wrong_mode(backend: str, model: str, mode: str) -> None:
    data = normal(model, backend)
    says = SAYS[mode]
    with float_modes().within(mode):
        with pytest.raises(FloatModeError, match=says) as raised:
            compress(model, backend)
        with pytest.raises(FloatModeError, match=says):
            decompress(data, backend)
        # The wrong mode says nothing of the file: no pixel is given up.
        with pytest.raises(FloatModeError):
            bbcodec.salvage(data, backend=backend)
        with pytest.raises(FloatModeError):
            bbcodec.cost_map(data, backend=backend)
    assert isinstance(raised.value, BBCodecError)
    assert "native" in str(raised.value)
    assert np.array_equal(decompress(data, backend), picture(backend))


@pytest.mark.parametrize("mode", SAYS)
@pytest.mark.parametrize("model", LATENT)
@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "native"])
def test_models_with_latents_alone_do_not_depend_on_the_mode(backend: str, model: str, mode: str) -> None:
    expected = normal(model, backend)
    with float_modes().within(mode):
        data = compress(model, backend)
        back = decompress(expected, backend)
    assert data == expected
    assert np.array_equal(back, picture(backend))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("model", ["thumb", "fast"])
def test_native_batches_do_not_depend_on_the_mode(model: str, mode: str) -> None:
    if "native" not in BACKENDS:
        pytest.skip("the native module is not built")
    found, execution = registry.find(model), Execution(2, "native")
    images = pictures(30, 32, 24, seed=2)
    expected = batch.encode(images, found, execution)
    with float_modes().within(mode):
        data = batch.encode(images, found, execution)
        back = batch.decode(expected, found, execution)
    assert data == expected
    assert np.array_equal(back, images)


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "native"])
def test_batches_in_python_refuse_a_wrong_mode(backend: str) -> None:
    found, execution = registry.find("thumb"), Execution(2, backend)
    images = pictures(4, 8, 8, seed=2)
    data = batch.encode(images, found, execution)
    with float_modes().within("upward"):
        with pytest.raises(FloatModeError):
            batch.encode(images, found, execution)
        with pytest.raises(FloatModeError):
            batch.decode(data, found, execution)


def test_archives_tell_a_wrong_mode_from_damage(tmp_path: Path) -> None:
    """The check of an archive does not call its pictures damaged."""
    from bbcodec.archive import check

    path = tmp_path / "a.bba"
    with bbcodec.Archive(path, "w", model="fast", method="learned", backend="numpy") as archive:
        for index, image in enumerate(pictures(2, 8, 9)):
            archive[f"{index}.png"] = image
    with (
        bbcodec.Archive(path, backend="numpy") as archive,
        float_modes().within("upward"),
        pytest.raises(FloatModeError),
    ):
        list(check.verify(archive.reader))


def test_the_check_sees_the_thread_that_it_runs_on() -> None:
    modes = float_modes()
    float_mode.check()

    def wrong() -> None:
        with modes.within("upward"):
            float_mode.check()

    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(FloatModeError, match="up"):
            pool.submit(wrong).result()
        pool.submit(float_mode.check).result()
    float_mode.check()
    with modes.within("downward"):
        errors: list[Exception] = []

        def inherits() -> None:
            try:
                float_mode.check()
            except FloatModeError as error:
                errors.append(error)

        thread = threading.Thread(target=inherits)
        thread.start()
        thread.join()
    assert len(errors) == 1, "threads inherit the mode of the thread that starts them"


# ---------------------------------------------------------------------------------- other settings


def strict_numpy() -> Callable[[], None]:
    before = np.seterr(all="raise")
    options = np.get_printoptions()
    np.set_printoptions(precision=1, threshold=3, legacy="1.13")

    def undo() -> None:
        np.set_printoptions(**options)
        np.seterr(**before)

    return undo


@pytest.mark.parametrize("model", LOCAL + LATENT)
@pytest.mark.parametrize("choice", choices(), ids=label)
def test_errors_of_numpy_and_warnings_change_nothing(choice: tuple[str, str | None], model: str) -> None:
    found = registry.find(model)
    with chosen(choice) as backend:
        expected = normal(model, backend)
        images = pictures(3, 9, 8, seed=1)
        group = batch.encode(images, found, Execution(1, backend))
        undo = strict_numpy()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                data = compress(model, backend)
                assert np.array_equal(decompress(expected, backend), picture(backend))
                assert batch.encode(images, found, Execution(1, backend)) == group
                assert np.array_equal(batch.decode(group, found, Execution(1, backend)), images)
        finally:
            undo()
    assert data == expected
