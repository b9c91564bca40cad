// Threads and their scratch memory.
#pragma once
#include <cstddef>
#include <cstdint>

namespace anypool {

// How many threads a call may use: what was set, else ANYPOOL_NUM_THREADS, else OpenMP's own setting; one in a forked
// child.
int threads();
void set_threads(int n);

// How many threads calls from the calling thread may use at most, 0 for no limit; returns what it was.
int set_thread_limit(int n);

// At least this many bytes, aligned to 64, that belong to the calling thread until it asks again; null if there are
// none.
char *scratch(size_t bytes);

// task(context, unit) for 0 ≤ unit < units, each once, on up to `threads` threads. False if a task says that it ran
// out of memory, or if the caller was interrupted.
bool run_units(int64_t units, int threads, bool (*task)(const void *, int64_t), const void *context);

}  // namespace anypool
