// Scratch memory of a thread, and rows in it.
#pragma once
#include "reduce/reducers.h"
#include "runtime/threads.h"

namespace anypool::ANYPOOL_ISA {

// Rows in a piece of scratch memory, which is measured first (at null) and then taken.
struct Arena {
    char *next;
    template <class T> T *take(int64_t n) {
        char *p = next;
        next += (n * int64_t(sizeof(T)) + vector_bytes + 63) / 64 * 64;
        return (T *)p;
    }
    template <class K> void take(Row<K> &row, int64_t n) { row.value = take<K>(n); }
    template <class K> void take(RowWithOffsets<K> &row, int64_t n) {
        row.value = take<K>(n);
        row.offset = take<UnsignedOf<K>>(n);
    }
};

// Runs `plan` twice, to measure what it takes and to take it from a thread's scratch memory; false where there is none.
template <class Plan> bool take_scratch(Plan plan) {
    Arena measure{nullptr};
    plan(measure);
    Arena arena{scratch(size_t(measure.next - (char *)nullptr))};
    if (arena.next) plan(arena);
    return arena.next;
}

}  // namespace anypool::ANYPOOL_ISA
