// Places of sorted windows as Python passes them, and the networks that find them.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <map>
#include <utility>
#include <vector>

#include "core/networks.h"
#include "python/axes.h"

namespace anypool {
namespace {

// Rows (first, last, t), one for each number of elements from 0 on; None where the operation has no places.
std::vector<Place> read_places(nb::handle object) {
    std::vector<Place> places;
    if (object.is_none()) return places;
    const auto rows = nb::cast<nb::ndarray<const double, nb::shape<-1, 3>, nb::c_contig>>(object);
    for (size_t i = 0; i < rows.shape(0); i++)
        places.push_back({int64_t(rows(i, 0)), int64_t(rows(i, 1)), rows(i, 2)});
    return places;
}

// Made once; there are few that anyone asks for.
const Network &network_of(int n, uint64_t wanted) {
    static auto &known = *new std::map<std::pair<int, uint64_t>, Network>;
    const auto found = known.find({n, wanted});
    return found != known.end() ? found->second : known[{n, wanted}] = network(n, wanted);
}

// The networks of windows whole along one axis, whichever is the last in memory, and maybe cut along the others.
std::vector<const Network *> find_networks(const std::vector<AxisSpec> &axes, const std::vector<Place> &places,
                                           int64_t window) {
    if (int64_t(places.size()) != window + 1) throw nb::value_error("there must be one place per number of elements");
    for (int64_t n = 1; n <= window; n++)
        if (places[n].first < 0 || places[n].first > places[n].last || places[n].last >= n)
            throw nb::value_error("places must lie within the window");
    std::vector<const Network *> networks(2 * (longest_network + 1));
    const auto bit = [](int64_t place) { return uint64_t(1) << place; };
    for (size_t whole = 0; whole < axes.size(); whole++) {
        std::vector<int64_t> sizes{axes[whole].axis.kernel_size};
        for (size_t k = 0; k < axes.size(); k++) {
            const size_t known = sizes.size();
            for (int64_t n = 1; k != whole && n < axes[k].axis.kernel_size; n++)
                for (size_t i = 0; i < known; i++)
                    if (sizes[i] * n <= longest_network) sizes.push_back(sizes[i] * n);
            for (size_t i = 0; k != whole && i < known; i++) sizes[i] *= axes[k].axis.kernel_size;
        }
        for (int64_t n : sizes) {
            if (n < 1 || n > longest_network) continue;
            networks[2 * n] = &network_of(int(n), bit(places[n].first) | bit(places[n].last));
            networks[2 * n + 1] = &network_of(int(n), n == 64 ? ~uint64_t(0) : bit(n) - 1);
        }
    }
    return networks;
}

}  // namespace
}  // namespace anypool
