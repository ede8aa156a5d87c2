"""Shards of a corpus, made by the workers of a Ray cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from dpr_tiny_retriever.errors import MissingExtraError

_Task = TypeVar("_Task")
_Made = TypeVar("_Made")

#: How often a task is begun again whose worker has died, before the run ends.
RETRIES = 3
#: Bytes of the object store of a cluster that is started here: tasks wait there, one for each worker.
OBJECT_STORE = 512 * 2**20


def run_on_ray(
    tasks: Iterable[_Task], make: Callable[[_Task], _Made], *, workers: int | None = None, threads: int | None = None
) -> Iterator[_Made]:
    """Do tasks in the actors of a Ray cluster, and yield what they make as it is done, in any order.

    make and what it returns are pickled: make once for each actor, so that what it loads is loaded once in each.
    threads is the CPUs of an actor (None: 1), workers their number (None: as many as the cluster has CPUs for). tasks
    is read in this process, and only as far as actors are free: at most one task for each, and one more, are in memory.
    A task whose actor dies is done again, RETRIES times, by another. The cluster is the one that RAY_ADDRESS names, the
    one that runs on this machine, or one started here that ends with this call. Raises what make raises, as it would in
    this process; MissingExtraError without Ray, ValueError where the cluster has too few CPUs.
    """
    ray = import_ray()
    started = _connect(ray)
    try:
        actors = _actors(ray, make, workers, threads or 1)
        yield from _spread(ray, iter(tasks), actors)
    finally:
        if started:
            ray.shutdown()


def import_ray() -> Any:
    """Import Ray, or raise MissingExtraError."""
    try:
        import ray
    except ImportError:
        raise MissingExtraError(
            'the engine ray needs Ray, which is not installed; run: pip install "dpr-tiny-retriever[ray]"'
        ) from None
    return ray


def _connect(ray: Any) -> bool:
    """Connect to a cluster unless this process has one; returns whether the connection is to end with the run."""
    if ray.is_initialized():
        return False
    quiet = {"logging_level": logging.WARNING}
    try:
        ray.init("auto", **quiet)
    except ConnectionError:  # there is none
        ray.init("local", include_dashboard=False, object_store_memory=OBJECT_STORE, **quiet)
    return True


def _actors(ray: Any, make: Callable[[Any], Any], workers: int | None, threads: int) -> list[Any]:
    cpus = int(ray.cluster_resources().get("CPU", 0))
    fitting = sum(int(node["Resources"].get("CPU", 0)) // threads for node in ray.nodes() if node["Alive"])
    if not fitting or (workers or 0) > fitting:
        raise ValueError(
            f"the Ray cluster has {cpus} CPUs, enough for {fitting} workers of {threads} CPUs; expected enough for "
            f"{workers or 1}: give fewer workers or threads, or add nodes"
        )
    actor = ray.remote(num_cpus=threads, max_restarts=-1, max_task_retries=RETRIES)(_Worker)
    return [actor.remote(make) for _ in range(workers or fitting)]


class _Worker:
    """An actor; every call of it does one task."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.make = make

    def run(self, task: Any) -> Any:
        return self.make(task)


def _spread(ray: Any, tasks: Iterator[Any], actors: list[Any]) -> Iterator[Any]:
    """Give each actor that is free the next task."""
    free, running = list(actors), dict[Any, Any]()
    for task in tasks:
        if not free:
            [done], _ = ray.wait(list(running))
            free.append(running.pop(done))
            yield _result(ray, done)
        actor = free.pop()
        running[actor.run.remote(task)] = actor
    while running:
        [done], _ = ray.wait(list(running))
        del running[done]
        yield _result(ray, done)


def _result(ray: Any, done: Any) -> Any:
    try:
        return ray.get(done)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayActorError as error:
        raise RuntimeError(
            f"a Ray worker could not begin, or died {RETRIES + 1} times over the same shard; expected this package on "
            "every node, and memory for the rows of a shard, which --rows-per-shard makes fewer. What is written stays "
            f"good. Ray says: {error}"
        ) from error
