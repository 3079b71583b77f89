#define _GNU_SOURCE
#include "include/threads.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

// A job is a step of `generation`. Workers watch it: first spinning, for operators follow each other
// within microseconds, then asleep on a condition, so that an idle program leaves its cores alone.
//
// Nobody sleeps through a wake-up: a worker counts itself among `sleepers` before it looks at
// `generation` a last time, the caller steps `generation` before it looks at `sleepers`, and all four
// accesses are sequentially consistent, so at least one of the two sees the other. `finished` and
// `caller_sleeps` are the same pair in the other direction.
//
// A worker goes to its job through `door`, which holds the job's generation, whether it is closed and how many have
// entered, so that these change together. The caller of a job that needs everybody waits until everybody has come and
// gone; the caller of one that does not closes the door when its own part is done, which is when all is done or taken, and
// waits only for those inside. A worker that comes late, because the system ran something else on its core, finds the
// door closed or another job's, and touches nothing of the job it missed.

// Longer than the gap between two operators of a forward pass, far shorter than a person notices.
enum { SPIN_NANOSECONDS = 50000 };

struct hearth_pool {
  int threads;
  bool spins;  ///< false when there are more workers than processors: a spinner would stand in the way
  pthread_t* workers;
  pthread_mutex_t turn;  ///< callers from several threads take turns

  pthread_mutex_t mutex;
  pthread_cond_t work, done;

  hearth_task task;
  void* context;
  _Alignas(64) _Atomic uint64_t generation;
  _Alignas(64) _Atomic uint64_t door;
  _Alignas(64) _Atomic int finished;  ///< workers that have entered and left
  _Alignas(64) _Atomic int sleepers;
  _Atomic bool caller_sleeps;
  _Atomic bool stopping;
};

typedef struct {
  hearth_pool* pool;
  int index;
} worker_start;

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static int64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/// Waits at most `SPIN_NANOSECONDS` for a job other than `seen`.
static bool spin_for_job(hearth_pool* pool, uint64_t seen) {
  if (atomic_load_explicit(&pool->generation, memory_order_acquire) != seen) return true;
  if (!pool->spins) return false;
  int64_t end = nanoseconds() + SPIN_NANOSECONDS;
  do {
    for (int i = 0; i < 16; i++) {
      if (atomic_load_explicit(&pool->generation, memory_order_acquire) != seen) return true;
      relax();
    }
  } while (nanoseconds() < end);
  return false;
}

static void sleep_for_job(hearth_pool* pool, uint64_t seen) {
  pthread_mutex_lock(&pool->mutex);
  atomic_fetch_add(&pool->sleepers, 1);
  while (atomic_load(&pool->generation) == seen) pthread_cond_wait(&pool->work, &pool->mutex);
  atomic_fetch_sub(&pool->sleepers, 1);
  pthread_mutex_unlock(&pool->mutex);
}

/// The parts of `door`.
enum { DOOR_GENERATION_SHIFT = 16 };
static const uint64_t door_closed = 1 << 15, door_entered = (1 << 15) - 1;

/// Enters the job of `generation`; false when it is over.
static bool enter(hearth_pool* pool, uint64_t generation) {
  uint64_t door = atomic_load(&pool->door);
  do {
    if (door >> DOOR_GENERATION_SHIFT != generation || (door & door_closed) != 0) return false;
  } while (!atomic_compare_exchange_weak(&pool->door, &door, door + 1));
  return true;
}

static void leave(hearth_pool* pool) {
  atomic_fetch_add(&pool->finished, 1);
  if (!atomic_load(&pool->caller_sleeps)) return;
  pthread_mutex_lock(&pool->mutex);
  pthread_cond_signal(&pool->done);
  pthread_mutex_unlock(&pool->mutex);
}

static void* work(void* argument) {
  worker_start start = *(worker_start*)argument;
  free(argument);
  hearth_pool* pool = start.pool;
  for (uint64_t seen = 0;;) {
    if (!spin_for_job(pool, seen)) sleep_for_job(pool, seen);
    seen = atomic_load(&pool->generation);
    if (atomic_load(&pool->stopping)) return NULL;
    if (!enter(pool, seen)) continue;
    pool->task(pool->context, start.index, pool->threads);
    leave(pool);
  }
}

static bool spin_until_done(hearth_pool* pool, int entered) {
  if (atomic_load_explicit(&pool->finished, memory_order_acquire) == entered) return true;
  if (!pool->spins) return false;
  int64_t end = nanoseconds() + SPIN_NANOSECONDS;
  do {
    for (int i = 0; i < 16; i++) {
      if (atomic_load_explicit(&pool->finished, memory_order_acquire) == entered) return true;
      relax();
    }
  } while (nanoseconds() < end);
  return false;
}

static void sleep_until_done(hearth_pool* pool, int entered) {
  pthread_mutex_lock(&pool->mutex);
  // An exchange, though a store would do by the language: emulators of AArch64 let a load pass a store before it, even where
  // both are sequentially consistent.
  atomic_exchange(&pool->caller_sleeps, true);
  while (atomic_load(&pool->finished) != entered) pthread_cond_wait(&pool->done, &pool->mutex);
  atomic_store(&pool->caller_sleeps, false);
  pthread_mutex_unlock(&pool->mutex);
}

static void announce(hearth_pool* pool) {
  atomic_fetch_add(&pool->generation, 1);
  if (atomic_load(&pool->sleepers) == 0) return;
  pthread_mutex_lock(&pool->mutex);
  pthread_cond_broadcast(&pool->work);
  pthread_mutex_unlock(&pool->mutex);
}

static void run(hearth_pool* pool, hearth_task task, void* context, bool everybody) {
  if (pool == NULL) {
    task(context, 0, 1);
    return;
  }
  pthread_mutex_lock(&pool->turn);
  if (pool->threads == 1) {
    task(context, 0, 1);
    pthread_mutex_unlock(&pool->turn);
    return;
  }
  pool->task = task;
  pool->context = context;
  atomic_store_explicit(&pool->finished, 0, memory_order_relaxed);
  uint64_t generation = atomic_load_explicit(&pool->generation, memory_order_relaxed) + 1;
  atomic_store(&pool->door, generation << DOOR_GENERATION_SHIFT);
  announce(pool);
  task(context, 0, pool->threads);
  int entered = pool->threads - 1;
  if (!everybody) entered = (int)(atomic_fetch_or(&pool->door, door_closed) & door_entered);
  if (!spin_until_done(pool, entered)) sleep_until_done(pool, entered);
  pthread_mutex_unlock(&pool->turn);
}

void hearth_pool_run(hearth_pool* pool, hearth_task task, void* context) {
  run(pool, task, context, true);
}

void hearth_pool_share(hearth_pool* pool, hearth_task task, void* context) {
  run(pool, task, context, false);
}

/// Starts workers 1..<threads; returns how many workers there are then, the caller included.
static int start_workers(hearth_pool* pool) {
  // Signals belong to the program's own threads: Ctrl-C must not interrupt a kernel.
  sigset_t every, before;
  sigfillset(&every);
  pthread_sigmask(SIG_SETMASK, &every, &before);
  int started = 1;
  for (; started < pool->threads; started++) {
    worker_start* start = malloc(sizeof *start);
    if (start == NULL) break;
    *start = (worker_start){pool, started};
    if (pthread_create(&pool->workers[started], NULL, work, start) != 0) {
      free(start);
      break;
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return started;
}

static void stop_workers(hearth_pool* pool, int started) {
  atomic_store(&pool->stopping, true);
  announce(pool);
  for (int i = 1; i < started; i++) pthread_join(pool->workers[i], NULL);
  pthread_cond_destroy(&pool->work);
  pthread_cond_destroy(&pool->done);
  pthread_mutex_destroy(&pool->mutex);
  pthread_mutex_destroy(&pool->turn);
  free(pool->workers);
  free(pool);
}

hearth_pool* hearth_pool_create(int threads) {
  if (threads < 1) threads = 1;
  hearth_pool* pool = aligned_alloc(64, sizeof *pool);
  pthread_t* workers = calloc((size_t)threads, sizeof *workers);
  if (pool == NULL || workers == NULL) {
    free(pool);
    free(workers);
    return NULL;
  }
  *pool = (hearth_pool){.threads = threads,
                        .spins = threads <= hearth_available_threads(),
                        .workers = workers};
  pthread_mutex_init(&pool->turn, NULL);
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->work, NULL);
  pthread_cond_init(&pool->done, NULL);
  int started = start_workers(pool);
  if (started == threads) return pool;
  stop_workers(pool, started);
  return NULL;
}

void hearth_pool_destroy(hearth_pool* pool) {
  if (pool != NULL) stop_workers(pool, pool->threads);
}

int hearth_pool_threads(const hearth_pool* pool) { return pool == NULL ? 1 : pool->threads; }
