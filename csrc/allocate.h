// Memory for outputs. Fresh pages cost more than the pooling: large outputs ask for huge ones before the first touch.
#pragma once
#include <cstdint>
#include <cstdlib>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace anypool {

constexpr int64_t huge_from = 8 << 20;

inline void *allocate_huge(size_t bytes) {
    constexpr size_t page = 2 << 20;
    const size_t rounded = (bytes + page - 1) / page * page;
    void *memory = std::aligned_alloc(page, rounded);
#if defined(MADV_HUGEPAGE)
    if (memory) madvise(memory, rounded, MADV_HUGEPAGE);
#endif
    return memory;
}

}  // namespace anypool
