"""A page of the exported detector, opened in a headless Chromium once for all tests of the page."""

from collections.abc import Iterator

import pytest

from tests.browser.opened import CHROMIUM, Opened, chromium, opening
from tests.exported import Exported
from uncrowd.browser.page import export_page
from uncrowd.browser.runtime import PACKAGE, read_runtime
from uncrowd.errors import InputError


@pytest.fixture(scope="module")
def cached_runtime() -> Iterator[None]:
    """Lets npm take the package from its cache only; skips the tests where it is not there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("npm_config_offline", "true")
        try:
            read_runtime(None)
        except InputError as error:
            pytest.skip(f"`npm cache add {PACKAGE}` has not run: {error}")
        yield


@pytest.fixture(scope="module")
def opened(cached_runtime: None, exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """The page of the exported detector, opened from the disk."""
    browser = chromium()
    if browser is None:
        pytest.skip(f"none of {', '.join(CHROMIUM)} is installed")
    with opening(export_page(exported.onnx, tmp_path_factory.mktemp("browser") / "page"), browser) as page:
        yield page
