// Whole numbers. Nothing of the standard library: what it would share between instruction sets is not ours to choose.
#pragma once
#include "core/problem.h"

namespace anypool::ANYPOOL_ISA {

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
// Rounded up; b > 0.
inline int64_t ceil_div(int64_t a, int64_t b) { return a > 0 ? (a - 1) / b + 1 : -(-a / b); }

// Rounded down; b > 0.
inline int64_t floor_div(int64_t a, int64_t b) { return -ceil_div(-a, b); }

}  // namespace anypool::ANYPOOL_ISA
