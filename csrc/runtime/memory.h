// Memory for large outputs. Fresh pages cost more than the pooling: they are huge ones, asked for before the first touch,
// and freed buffers are cached for the next output. The system may take the pages of cached memory whenever it needs
// them.
#pragma once
#include <cstddef>

namespace anypool {

constexpr size_t large_from = 8 << 20;

struct Memory {
    void *data;  // null where there is no memory; what it holds may be anything
    size_t bytes;
};
Memory take_memory(size_t bytes);
void give_memory(Memory memory);

// How many bytes are cached at most: at first a sixteenth of the machine's memory, and no more than 1 GiB.
size_t cache_limit();
void set_cache_limit(size_t bytes);
size_t cached_bytes();

}  // namespace anypool
