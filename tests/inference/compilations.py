"""How many programs XLA is asked for."""

import contextlib

import jax


@contextlib.contextmanager
def compilations():
    """Counts them: the first entry of the list that it gives."""
    count = [0]

    def listen(event: str, duration_secs: float, **kwargs) -> None:
        if "backend_compile" in event:
            count[0] += 1

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield count
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
