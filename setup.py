"""The encoder in C, as one library for each set of vector instructions; what a machine cannot compile is left out."""

from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

#: By the names that compiled.py looks for. A -march of another kind of processor is refused, and so left out.
INSTRUCTIONS = {
    "_bert": [],
    "_bert_avx2": ["-march=x86-64-v3"],
    "_bert_avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}


class BuildAnew(build_ext):
    """Compile always, and leave no library of an earlier build where this one fails."""

    def build_extension(self, ext: Extension) -> None:
        for folder in (self.build_lib, *(["."] if self.editable_mode else [])):
            Path(folder, self.get_ext_filename(ext.name)).unlink(missing_ok=True)
        self.force = True
        super().build_extension(ext)


setup(
    cmdclass={"build_ext": BuildAnew},
    ext_modules=[
        Extension(
            f"dpr_tiny_retriever.{name}",
            ["csrc/bert.c"],
            extra_compile_args=["-O3", "-fno-math-errno", "-ffp-contract=fast", *flags],
            libraries=["m"],
            optional=True,
            py_limited_api=True,
        )
        for name, flags in INSTRUCTIONS.items()
    ],
    # The libraries need no Python, so one wheel is for all of them.
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
