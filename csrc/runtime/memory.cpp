#include "runtime/memory.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace anypool {
namespace {

constexpr size_t huge_page = 2 << 20;

std::mutex &mutex = *new std::mutex;  // these outlive all that Python still frees when it ends
std::vector<Memory> &cached = *new std::vector<Memory>;  // the oldest first
size_t bytes_cached = 0;

size_t default_limit() {
#if defined(MADV_FREE) && defined(_SC_PHYS_PAGES)
    return std::min(size_t(sysconf(_SC_PHYS_PAGES)) / 16 * size_t(sysconf(_SC_PAGESIZE)), size_t(1) << 30);
#else
    return 0;
#endif
}

size_t limit = default_limit();

// Tell the system that it may take these pages; whether it understood.
bool offer([[maybe_unused]] const Memory &memory) {
#if defined(MADV_FREE)
    return madvise(memory.data, memory.bytes, MADV_FREE) == 0;
#else
    return false;
#endif
}

Memory take_cached(std::vector<Memory>::iterator place) {
    const Memory memory = *place;
    cached.erase(place);
    bytes_cached -= memory.bytes;
    return memory;
}

void shrink(size_t most) {
    while (bytes_cached > most) std::free(take_cached(cached.begin()).data);
}

}  // namespace

Memory take_memory(size_t bytes) {
    bytes = (bytes + huge_page - 1) / huge_page * huge_page;
    // A child of a process that forked while another thread was in here never gets the lock, and does without.
    if (std::unique_lock lock(mutex, std::try_to_lock); lock) {
        auto best = cached.end();
        for (auto place = cached.begin(); place != cached.end(); ++place)
            if (place->bytes >= bytes && place->bytes - bytes <= bytes / 4 &&
                (best == cached.end() || place->bytes <= best->bytes))  // of equals the last, which caches may hold
                best = place;
        if (best != cached.end()) return take_cached(best);
    }
    void *data = std::aligned_alloc(huge_page, bytes);
#if defined(MADV_HUGEPAGE)
    if (data) madvise(data, bytes, MADV_HUGEPAGE);
#endif
    return {data, bytes};
}

void give_memory(Memory memory) {
    std::unique_lock lock(mutex, std::try_to_lock);
    if (!lock || memory.bytes > limit || !offer(memory)) return std::free(memory.data);
    cached.push_back(memory);
    bytes_cached += memory.bytes;
    shrink(limit);
}

size_t cache_limit() { return limit; }

size_t cached_bytes() { return bytes_cached; }

void set_cache_limit(size_t bytes) {
    std::lock_guard lock(mutex);
    limit = bytes;
    shrink(limit);
}

}  // namespace anypool
