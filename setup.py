"""The encoder in C, as one library for each set of vector instructions; what a machine cannot compile is left out."""

from setuptools import Extension, setup

#: By the names that compiled.py looks for. A -march of another kind of processor is refused, and so left out.
INSTRUCTIONS = {
    "_bert": [],
    "_bert_avx2": ["-march=x86-64-v3"],
    "_bert_avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}

setup(
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
