// Variances, and means of powers and with exponential weights, for one instruction set.
//
// Means of powers and exponentials are taken in float64 for results that are less exact: each element is raised once, on
// its way to scratch memory, and a window is a sum of what was raised.
#include "simd/math.h"
#include "windowed/numbers.h"

namespace anypool::ANYPOOL_ISA {
namespace {

// Σ(x − x̄)²/(n − ddof), or its root: numbers are ddof, and 1 for the root.
template <class L> class Variance : public Numbers<L> {
    using typename Numbers<L>::V;

  public:
    using Numbers<L>::Numbers;
    template <bool IsWhole> void vector(const Windowed<L> &windows, int64_t lane) {
        const V n = counts_of<IsWhole>(windows, lane), divisor = n - L(this->p.numbers[0]);
        V value = IsWhole && windows.size() <= few / 4 ? shifted(windows, lane) / n : centred<IsWhole>(windows, lane, n);
        value = value < 0 ? V{} : value;
        value = divisor > 0 ? value / divisor : broadcast<V>(L(__builtin_nan("")));
        if (this->p.numbers[1] != 0) value = sqrt(value);
        store(this->values + lane, value);
    }

  private:
    // Σ(x − x̄)², times n for the first. By the distances from an element, one of a few, so that they cancel n-fold at
    // most; or from the mean, and by how much that was rounded is taken off again.
    V shifted(const Windowed<L> &windows, int64_t lane) const {
        const V origin = load<V>(windows.rows[0] + windows.offsets[0] + lane);
        V sum{}, squares{};
        windows.each(lane, [&](V v, int64_t) {
            const V apart = v - origin;
            sum += apart, squares += apart * apart;
        });
        return squares * L(windows.size()) - sum * sum;
    }
    template <bool IsWhole> __attribute__((noinline)) V centred(const Windowed<L> &windows, int64_t lane, V n) const {
        const V mean = sum_of<IsWhole>(windows, lane) / n;
        const V rest = sum_of<IsWhole>(windows, lane, [&](V v) { return v - mean; });
        return sum_of<IsWhole>(windows, lane, [&](V v) { return (v - mean) * (v - mean); }) - rest * (rest / n);
    }
};

// ---------------------------------------------------------------------------------------------------------------------
// Powers: numbers are p, and ε of GeM

// What elements become: xᵖ of x ≥ 0, its logarithm for p = 0; |x|ᵖ; max(x, ε)ᵖ.
__attribute__((always_inline)) inline Doubles raised(const Problem &p, Doubles x) {
    if (p.operation == Operation::gem) return power(x < p.numbers[1] ? broadcast<Doubles>(p.numbers[1]) : x, p.numbers[0]);
    if (p.operation == Operation::norm) x = x < 0 ? -x : x;
    x = x < 0 ? broadcast<Doubles>(__builtin_nan("")) : x;
    return p.numbers[0] == 0 ? log(x) : power(x, p.numbers[0]);
}
bool raise_line(const Problem &p, const char *from, int64_t n, double *to) {
    widen_line<double>(p, from, n, to);
    for (int64_t i = 0; i < n; i += lanes<double>) {
        const int64_t m = smaller(lanes<double>, n - i);
        store_lanes(to + i, raised(p, m == lanes<double> ? load<Doubles>(to + i) : load<Doubles>(to + i, m)), m);
    }
    return false;
}
class Powers : public Numbers<double> {
  public:
    using Numbers<double>::Numbers;
    template <bool IsWhole> void vector(const Windowed<double> &windows, int64_t lane) {
        Doubles mean = sum_of<IsWhole>(windows, lane);
        if (p.operation != Operation::norm) mean /= counts_of<IsWhole>(windows, lane);
        store(values + lane, p.numbers[0] == 0 ? exp(mean) : power(mean, 1 / p.numbers[0]));
    }
};

// ---------------------------------------------------------------------------------------------------------------------
// Exponential weights: numbers are r or β

constexpr double farthest = 300;  // exponents up to this can be summed and divided; further ones are for the definition

bool exponential_line(const Problem &p, const char *from, int64_t n, double *to) {
    widen_line<double>(p, from, n, to);
    Longs far{};
    for (int64_t i = 0; i < n; i += lanes<double>) {
        const int64_t m = smaller(lanes<double>, n - i);
        const Doubles x = (m == lanes<double> ? load<Doubles>(to + i) : load<Doubles>(to + i, m)) * p.numbers[0];
        far |= ~((x < farthest) & (x > -farthest));
        store_lanes(to + i, exp(x), m);
    }
    bool any = false;
    for (int i = 0; i < lanes<double>; i++) any |= far[i] != 0;
    return any;
}

// ln(Σ eʳˣ/n)/r of exponentials, with the elements beside them.
class LogMeanExp : public Numbers<double> {
    static constexpr double near = 0.01;  // where all r·x are less, their exponentials are too near 1 to tell them apart

  public:
    using Numbers<double>::Numbers;
    template <bool IsWhole> void vector(const Windowed<double> &windows, int64_t lane) {
        const Doubles n = counts_of<IsWhole>(windows, lane), mean = sum_of<IsWhole>(windows, lane) / n;
        Doubles value = log(mean);
        if (const Longs close = (mean < 1 + 2 * near) & (mean > 1 - 2 * near); !holds_everywhere(~close)) {
            Longs all = close;
            const Doubles less = sum_at<IsWhole>(windows, lane, [&](const double *at) {
                const Doubles x = load<Doubles>(at + windows.beside) * p.numbers[0];
                return x < near & x > -near ? expm1_near(x) : broadcast<Doubles>(1e9);
            });
            all &= less < 1e8;
            value = all ? log1p_near(less / n) : value;
        }
        store(values + lane, value / p.numbers[0]);
    }
};

// Σ e^(βx)·x / Σ e^(βx) of exponentials, with the elements beside them.
class SoftMean : public Numbers<double> {
  public:
    using Numbers<double>::Numbers;
    template <bool IsWhole> void vector(const Windowed<double> &windows, int64_t lane) {
        const Doubles products = sum_at<IsWhole>(
            windows, lane, [&](const double *at) { return load<Doubles>(at) * load<Doubles>(at + windows.beside); });
        store(values + lane, products / sum_of<IsWhole>(windows, lane));
    }
};

}  // namespace

bool run_moments(const Problem &p) {
    switch (p.operation) {
        case Operation::variance:
            if (p.accumulator == Type::f32) return WindowedRun<Variance<float>>(p, widening_of<float>(p), 0).run();
            return WindowedRun<Variance<double>>(p, widening_of<double>(p), 0).run();
        case Operation::logsumexp:
            return WindowedRun<LogMeanExp>(p, {exponential_line, &p, size_of(p.type)}, 0, widening_of<double>(p)).run();
        case Operation::soft:
            return WindowedRun<SoftMean>(p, {exponential_line, &p, size_of(p.type)}, 0, widening_of<double>(p)).run();
        default: return WindowedRun<Powers>(p, {raise_line, &p, size_of(p.type)}, 0).run();
    }
}

}  // namespace anypool::ANYPOOL_ISA
