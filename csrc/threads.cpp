#include "threads.h"

#include <cstdlib>
#include <mutex>

#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__unix__)
#include <pthread.h>
#endif

namespace anypool {
namespace {

int chosen = 0;
bool forked = false;  // OpenMP's threads did not survive the fork, and waiting for them would last for ever

int from_environment() {
    const char *text = std::getenv("ANYPOOL_NUM_THREADS");
    const int n = text ? std::atoi(text) : 0;
    return n > 0 ? n : 0;
}

struct Buffer {
    char *data = nullptr;
    size_t bytes = 0;
    ~Buffer() { std::free(data); }
};

}  // namespace

int threads() {
#ifdef _OPENMP
    static std::once_flag once;
    static int environment = 0;
    std::call_once(once, [] {
        environment = from_environment();
#if defined(__unix__)
        pthread_atfork(nullptr, nullptr, [] { forked = true; });
#endif
    });
    if (forked) return 1;
    return chosen ? chosen : environment ? environment : omp_get_max_threads();
#else
    return 1;
#endif
}

void set_threads(int n) { chosen = n; }

char *scratch(size_t bytes) {
    thread_local Buffer buffer;
    if (!buffer.data || bytes > buffer.bytes) {
        std::free(buffer.data);
        buffer.bytes = (bytes / 4096 + 1) * 4096;
        buffer.data = static_cast<char *>(std::aligned_alloc(64, buffer.bytes));
        if (!buffer.data) buffer.bytes = 0;
    }
    return buffer.data;
}

bool run_units(int64_t units, int threads, bool (*task)(const void *, int64_t), const void *context) {
    bool enough = true;
#ifdef _OPENMP
    if (threads > 1 && units > 1) {
        const int n = int(units < threads ? units : threads);
#pragma omp parallel for num_threads(n) schedule(dynamic) reduction(&& : enough)
        for (int64_t unit = 0; unit < units; unit++) enough = task(context, unit) && enough;
        return enough;
    }
#endif
    for (int64_t unit = 0; unit < units; unit++) enough = task(context, unit) && enough;
    return enough;
}

}  // namespace anypool
