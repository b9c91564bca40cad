"""Pooling of a batch that is sharded over four devices, in a process of its own; and arrays with ties."""

import jax.numpy as jnp
import numpy as np
from processes import QUICK_XLA, run_python


def tied(shape, seed=0):
    return jnp.asarray(np.maximum(np.random.default_rng(seed).integers(-3, 3, shape), 0), jnp.float32)


SHARDED = """
import sys, threading
from functools import partial
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
import anypool as ap

assert jax.device_count() == 4
kind = getattr(jax.sharding.AxisType, sys.argv[1])
mesh = jax.make_mesh((4,), ("batch",), axis_types=(kind,))
x = jnp.asarray(np.random.default_rng(0).integers(0, 3, (8, 3, 18, 18)), jnp.float32)
sharded = jax.device_put(x, NamedSharding(mesh, P("batch")))
pools = [
    partial(ap.max_pool, kernel_size=2), partial(ap.min_pool, kernel_size=3, stride=2, padding=1),
    partial(ap.max_pool, kernel_size=7, stride=1, padding="same"),
    partial(ap.avg_pool, kernel_size=3, stride=1, padding=1),
    lambda x: ap.adaptive_pool(x, "max", 5), lambda x: ap.global_pool(x, "max", axes=(2, 3)),
]

def check(pool):
    def both(x):
        y, pullback = jax.vjp(pool, x)
        return y, pullback(jnp.cos(y))[0]
    expected = jax.jit(both)(x)
    compiled = jax.jit(both).lower(sharded).compile()
    text = compiled.as_text()
    assert not any(word in text for word in ("all-gather", "all-reduce", "all-to-all", "collective")), pool
    per_shard = jax.jit(jax.shard_map(both, mesh=mesh, in_specs=P("batch"), out_specs=P("batch")))
    for got in (compiled(sharded), per_shard(sharded)):
        for a, b in zip(got, expected, strict=True):
            assert a.sharding.is_equivalent_to(sharded.sharding, a.ndim), a.sharding
            np.testing.assert_allclose(a, b, atol=1e-6)

pools = pools if kind is jax.sharding.AxisType.Auto else pools[1:3]
failures = []
def work(pools):
    try:
        for pool in pools:
            check(pool)
    except BaseException as error:
        failures.append(error)
        raise
threads = [threading.Thread(target=work, args=(pools[start::2],)) for start in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert not failures
print("sharded")
"""


def check_sharded(kind, script=SHARDED):
    flags = f"--xla_force_host_platform_device_count=4 {QUICK_XLA}"
    done = run_python("-c", script, kind, XLA_FLAGS=flags, JAX_PLATFORMS="cpu")
    assert done.returncode == 0, done.stderr[-4000:]
    assert "sharded" in done.stdout
