#ifndef HEARTH_THREADS_H
#define HEARTH_THREADS_H

/// A fixed set of workers that run one function at a time, the caller among them.
typedef struct hearth_pool hearth_pool;

/// One share of a job: worker `index` of `count`. Must not call back into the same pool.
typedef void (*hearth_task)(void* context, int index, int count);

/// As many threads as the CPU affinity and the cgroup quota (v1 and v2) allow, rounded down, at least 1.
int hearth_available_threads(void);

/// The smallest cgroup quota in whole CPUs (at least 1), or 0 when there is none. `membership` is a file like
/// /proc/self/cgroup, `mount` where the hierarchies are mounted; a part of `hearth_available_threads`, apart for tests.
int hearth_cgroup_threads(const char* membership, const char* mount);

/// A pool of `threads` workers (the caller counts as one). NULL when threads cannot be created.
hearth_pool* hearth_pool_create(int threads);

/// Joins the workers. No job may be running.
void hearth_pool_destroy(hearth_pool* pool);

/// The number of workers, the caller included.
int hearth_pool_threads(const hearth_pool* pool);

/// Runs `task(context, i, n)` for every i in 0..<n at once and returns when all are done.
/// A NULL pool runs `task(context, 0, 1)` on the caller. Workers spin briefly, then sleep. Callers on
/// several threads take turns.
void hearth_pool_run(hearth_pool* pool, hearth_task task, void* context);

/// The same for tasks that take their work from a common store until nothing is left, so that any of the workers, even the
/// caller alone, does all of it. Returns when the workers that came in time are done: one whose core is busy with another
/// program holds nobody up.
void hearth_pool_share(hearth_pool* pool, hearth_task task, void* context);

#endif
