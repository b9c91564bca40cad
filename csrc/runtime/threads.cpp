#include "runtime/threads.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>

#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__unix__)
#include <pthread.h>
#endif

#include "runtime/interrupts.h"

namespace anypool {
namespace {

int wanted = 0;
thread_local int limit = 0;  // of the calling thread; 0 for none
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
    const int n = wanted ? wanted : environment ? environment : omp_get_max_threads();
    return limit && limit < n ? limit : n;
#else
    return 1;
#endif
}

void set_threads(int n) { wanted = n; }

int set_thread_limit(int n) {
    const int before = limit;
    limit = n;
    return before;
}

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

namespace {

bool (*interrupt_check)() = nullptr;

// Whether to leave the rest of the units, which one thread finds out for all.
class Interrupt {
    using Clock = std::chrono::steady_clock;
    static constexpr auto pause = std::chrono::milliseconds(100);
    Clock::time_point next = Clock::now() + pause;
    std::atomic<bool> found = false;

  public:
    void check() {
        if (!interrupt_check || Clock::now() < next) return;
        if (interrupt_check()) found.store(true, std::memory_order_relaxed);
        next = Clock::now() + pause;
    }
    bool is_set() const { return found.load(std::memory_order_relaxed); }
};

#ifdef _OPENMP
// Neighbouring units, which a thread takes from the front, and those who are done with theirs help.
struct alignas(64) Share {
    std::atomic<int64_t> next;
    int64_t end;
};
constexpr int most_shares = 64;
#endif

}  // namespace

void set_interrupt_check(bool (*is_interrupted)()) { interrupt_check = is_interrupted; }

bool run_units(int64_t units, int threads, bool (*task)(const void *, int64_t), const void *context) {
    bool enough = true;
    Interrupt interrupt;
#ifdef _OPENMP
    if (threads > 1 && units > 1) {
        const int n = int(units < threads ? units : threads), shares = n < most_shares ? n : most_shares;
        Share share[most_shares];
        for (int s = 0; s < shares; s++) share[s].next = units * s / shares, share[s].end = units * (s + 1) / shares;
#pragma omp parallel num_threads(n) reduction(&& : enough)
        for (int s = 0; s < shares; s++) {
            Share &mine = share[(omp_get_thread_num() + s) % shares];
            for (int64_t unit; (unit = mine.next.fetch_add(1, std::memory_order_relaxed)) < mine.end;) {
                if (interrupt.is_set()) break;
                enough = task(context, unit) && enough;
                if (omp_get_thread_num() == 0) interrupt.check();
            }
        }
        return enough && !interrupt.is_set();
    }
#endif
    for (int64_t unit = 0; unit < units && !interrupt.is_set(); unit++) {
        enough = task(context, unit) && enough;
        interrupt.check();
    }
    return enough && !interrupt.is_set();
}

}  // namespace anypool
