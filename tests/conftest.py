"""Where tests find what lies outside the repository.

Real data: RECFUNNEL_DATA, else `../shared/data` beside it. Tables that other simulators computed:
RECFUNNEL_ORACLES, else `../shared/oracles`.
"""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real data sets; skips the test where there is none."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("RECFUNNEL_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} does not exist; set RECFUNNEL_DATA")
    return folder


@pytest.fixture(scope="session")
def oracles() -> Path:
    """Folder of tables other simulators computed; skips the test where there is none."""
    default = Path(__file__).parents[2] / "shared" / "oracles"
    folder = Path(os.environ.get("RECFUNNEL_ORACLES", default))
    if not folder.is_dir():
        pytest.skip(f"no oracle tables: {folder} does not exist; set RECFUNNEL_ORACLES")
    return folder


def _inside(folder: Path, name: str) -> Path:
    if not (folder / name).exists():
        pytest.skip(f"no real data: {folder / name} does not exist")
    return folder / name


@pytest.fixture(scope="session")
def ml_1m(real_data: Path) -> Path:
    return _inside(real_data, "ml-1m")


@pytest.fixture(scope="session")
def ml_100k(real_data: Path) -> Path:
    return _inside(real_data, "ml-100k")


@pytest.fixture(scope="session")
def criteo_log(real_data: Path) -> Path:
    return _inside(real_data, "criteo/criteo_kaggle_first10k.txt.gz")


@pytest.fixture(scope="session")
def criteo_csv(real_data: Path) -> Path:
    return _inside(real_data, "criteo/deepctr_criteo_sample200.txt")


@pytest.fixture(scope="session")
def bookcrossing(real_data: Path) -> Path:
    return _inside(real_data, "bookcrossing")
