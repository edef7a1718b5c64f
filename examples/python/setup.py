# SPDX-License-Identifier: MIT
"""pip install --no-build-isolation --no-deps . : CMake builds the module, setuptools packs it."""
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

here = Path(__file__).resolve().parent
version_header = (here / "../../include/heed/base/version.hpp").read_text()
version = ".".join(re.search(rf"HEED_VERSION_{part} (\d+)", version_header)[1] for part in ("MAJOR", "MINOR", "PATCH"))


class by_cmake(build_ext):
    def build_extension(self, ext):
        build = Path(self.build_temp).resolve()
        build.mkdir(parents=True, exist_ok=True)
        archs = os.environ.get("HEED_PYTHON_ARCHS", "native")
        subprocess.check_call(["cmake", "-S", str(here), "-B", str(build), "-DCMAKE_BUILD_TYPE=Release",
                               f"-DPython_EXECUTABLE={sys.executable}", f"-DHEED_PYTHON_ARCHS={archs}",
                               *shlex.split(os.environ.get("CMAKE_ARGS", ""))])
        subprocess.check_call(["cmake", "--build", str(build), "--target", "heed_python",
                               "--parallel", os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count() or 1))])
        built = next((build / "heed").glob("_heed*"))
        to = Path(self.get_ext_fullpath(ext.name))
        to.parent.mkdir(parents=True, exist_ok=True)
        self.copy_file(str(built), str(to))


setup(
    name="heed",
    version=version,
    description="Exact attention on CPUs with softmax or softpick",
    license="MIT",
    python_requires=">=3.8",
    install_requires=["numpy"],
    package_dir={"": "package"},
    packages=["heed"],
    package_data={"heed": ["*.pyi", "py.typed"]},
    ext_modules=[Extension("heed._heed", sources=[])],
    cmdclass={"build_ext": by_cmake},
)
