"""Gets ONNX Runtime Web, which runs detectors in browsers and is not part of this package, from npm or a file."""

import io
import shutil
import subprocess
import tarfile
from base64 import b64encode
from hashlib import sha512
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from uncrowd.errors import InputError

PACKAGE = "onnxruntime-web@1.30.0"
# The sum that npm's registry publishes for the package.
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
# The command that downloads the package as a file.
GET = f"npm pack {PACKAGE}"


class WebRuntime(NamedTuple):
    """The files that a page needs to run without threads, GPU and network.

    script: defines `ort`. loader: the module that starts the WebAssembly in `wasm`.
    """

    script: bytes
    loader: bytes
    wasm: bytes


def read_runtime(file: Path | None) -> WebRuntime:
    """Returns ONNX Runtime Web from a file that `GET` has downloaded; None runs that command, which caches it.

    Raises InputError when there is no npm, when it cannot get the package, and for any other file than this version.
    """
    content = _download() if file is None else _read(file)
    if b64encode(sha512(content).digest()).decode() != SHA512:
        raise InputError(f"{file or 'What npm has downloaded'} is not {PACKAGE} or is damaged; get it with `{GET}`.")
    with tarfile.open(fileobj=io.BytesIO(content)) as package:
        names = "ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"
        members = [package.extractfile(f"package/dist/{name}") for name in names]
        return WebRuntime(*(member.read() for member in members if member is not None))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}; get it with `{GET}`.") from error


def _download() -> bytes:
    by_hand = f"run `{GET}` where that works, and name the file with --runtime"
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(f"A page needs {PACKAGE}, and npm, which gets it, is not installed; {by_hand}.")
    with TemporaryDirectory() as folder:
        command = [npm, "pack", PACKAGE, "--prefer-offline", "--loglevel=error"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        packed = list(Path(folder).glob("*.tgz"))
        if done.returncode or not packed:
            reason = " ".join(done.stderr.split()) or f"it ended with status {done.returncode}"
            raise InputError(f"npm could not get {PACKAGE} ({reason}); {by_hand}.")
        return packed[0].read_bytes()
