// Outputs too large for the caches leave past them, so that a line is not read before it is overwritten. That asks
// for whole lines: rows that follow each other in memory are gathered in a piece of scratch memory first.
#pragma once
#include "simd/simd.h"

namespace anypool::ANYPOOL_ISA {

// Lines of 64 bytes, from and to aligned ones.
inline void stream_lines(const char *from, char *to, int64_t bytes) {
#if defined(__AVX512F__)
    for (int64_t i = 0; i < bytes; i += 64) _mm512_stream_si512((__m512i *)(to + i), _mm512_load_si512(from + i));
#elif defined(__x86_64__)
    for (int64_t i = 0; i < bytes; i += 16)
        _mm_stream_si128((__m128i *)(to + i), _mm_load_si128((const __m128i *)(from + i)));
#else
    __builtin_memcpy(to, from, bytes);
#endif
}

class Stream {
    static constexpr int64_t line = 64, most = 1 << 12;
    char *buffer = nullptr, *to = nullptr;  // both at the start of a line
    int64_t begin = 0, end = 0;             // the bytes of the buffer that wait

  public:
    // Bytes of an output from which it pays; smaller ones may be read again while caches hold them.
    static constexpr int64_t from = 16 << 20;

    static int64_t room(int64_t row) { return row + most + 2 * line; }
    void start(char *memory) { buffer = memory, to = nullptr, begin = end = 0; }

    // Where a row that belongs at `where` is put; it waits once it is added.
    char *row(char *where) {
        if (to + end != where) {
            drain();
            begin = end = int64_t((uintptr_t)where % line);
            to = where - begin;
        }
        return buffer + end;
    }
    void add(int64_t bytes) {
        end += bytes;
        if (end >= most) flush();
    }
    void finish() {
        drain();
#if defined(__x86_64__)
        _mm_sfence();
#endif
    }

  private:
    void drain() {
        flush();
        if (end > begin) __builtin_memcpy(to + begin, buffer + begin, end - begin);
        begin = end;
    }
    void flush() {
        const int64_t whole = end / line * line;
        if (whole == 0) return;
        if (begin > 0) __builtin_memcpy(to + begin, buffer + begin, line - begin);
        const int64_t first = begin > 0 ? line : 0;
        stream_lines(buffer + first, to + first, whole - first);
        to += whole;
        end -= whole;
        begin = 0;
        __builtin_memcpy(buffer, buffer + whole, end);
    }
};

}  // namespace anypool::ANYPOOL_ISA
