// One set of kernels: this file is compiled once for each instruction set, RECFUNNEL_SET naming it.
#include "activations.hpp"
#include "codes.hpp"
#include "dots.hpp"
#include "elementwise.hpp"
#include "kernels.hpp"
#include "linear.hpp"
#include "packing.hpp"
#include "records.hpp"
#include "rows.hpp"
#include "selection.hpp"

#define RF_STRING_OF(name) #name
#define RF_STRING(name) RF_STRING_OF(name)

namespace recfunnel::RECFUNNEL_SET {

extern const Kernels set;
const Kernels set = {
    .name = RF_STRING(RECFUNNEL_SET),
    .packed_bytes = packed_bytes,
    .pack = pack,
    .linear_scratch_bytes = linear_scratch_bytes,
    .linear = linear,
    .packed_cross_bytes = packed_cross_bytes,
    .pack_cross = pack_cross,
    .build_cross = build_cross,
    .build_scaled = build_scaled,
    .gather = gather,
    .gather_pairs = gather_pairs,
    .gather_columns = gather_columns,
    .prefetch = prefetch,
    .touch = touch,
    .pool = pool,
    .pair_dots = pair_dots,
    .cross_dots = cross_dots,
    .add = add,
    .multiply = multiply,
    .affine = affine,
    .relu = relu,
    .sigmoid = sigmoid,
    .mish = mish,
    .codes = codes,
    .record_scratch_bytes = record_scratch_bytes,
    .record_scores = record_scores,
    .record_order = record_order,
    .collect_above = collect_above,
    .kth_largest = kth_largest,
    .keep_from = keep_from,
};

}  // namespace recfunnel::RECFUNNEL_SET
