"""Arrays and frames on every shared cache: they come back in another process, without pickle."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from memocache import Cache, TieredCache, cached


def test_arrays_and_frames_come_back_in_another_process(make: Callable[[], Cache]) -> None:
    def find(size: int) -> Any:
        frame = pd.DataFrame({"a": np.arange(size), "s": [str(number) for number in range(size)]})
        return [np.arange(size * 1.0), frame, pa.table({"a": range(size)}), pl.DataFrame({"a": range(size)})]

    for hits in (0, 3):
        call = cached(timeout=60, cache=make(), namespace="arrays")(find)
        for size in (0, 100, 10_000):  # large ones are not copied out of their envelopes
            array, frame, table, polars_frame = call(size)
            wanted = find(size)
            assert array.tolist() == wanted[0].tolist()
            pd.testing.assert_frame_equal(frame, wanted[1])
            assert table.equals(wanted[2])
            assert polars_frame.equals(wanted[3])
            if not isinstance(call.cache, TieredCache):  # near, all callers have one
                array += 1
        assert (call.info().hits, call.info().failures) == (hits, 0)
