// Computed tables for Python: made from their arrays, asked for rows.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "answers.hpp"
#include "bound_machine.hpp"
#include "composed.hpp"
#include "decoded.hpp"
#include "machine_parts.hpp"
#include "unlocked.hpp"

using namespace nanobind::literals;

namespace recfunnel {
namespace {

using SomeIds = nb::ndarray<const std::uint32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using LayerFields = std::tuple<AnyArray, AnyArray, std::string>;
using NormalFields = std::tuple<AnyArray, AnyArray, AnyArray>;

Activation activation_named(const std::string& name) {
  if (name == "none") return Activation::kNone;
  if (name == "relu") return Activation::kRelu;
  if (name == "mish") return Activation::kMish;
  if (name == "sigmoid") return Activation::kSigmoid;
  throw ProgramError("no activation is called '" + name + "'; known: none, relu, mish, sigmoid");
}

Precision precision_named(const std::string& name) {
  if (name == "float32") return Precision::kFloat32;
  if (name == "bfloat16") return Precision::kBFloat16;
  if (name == "int8") return Precision::kInt8;
  throw ProgramError("no precision is called '" + name + "'; known: float32, bfloat16, int8");
}

void make_decoded(DecodedTable* self, const std::string& isa, std::int64_t num_ids,
                  std::int32_t dim, std::int64_t num_values, std::uint32_t seed_mix, int shift,
                  const AnyArray& multipliers, const AnyArray& addends,
                  const std::optional<AnyArray>& primes, const std::optional<NormalFields>& normal,
                  const std::vector<LayerFields>& layers, const std::string& precision) {
  CodeFunctions codes{num_values, seed_mix, shift, view(multipliers), view(addends), {}, {}};
  if (primes) codes.primes = view(*primes);
  if (normal) {
    const auto& [radius, cosine, sine] = *normal;
    codes.normal = NormalValues{view(radius), view(cosine), view(sine)};
  }
  std::vector<DecoderLayer> given;
  for (const auto& [weight, bias, activation] : layers) {
    given.push_back({view(weight), view(bias), activation_named(activation)});
  }
  new (self) DecodedTable(isa.empty() ? kernels() : kernels_named(isa.c_str()), num_ids, dim, codes,
                          given, precision_named(precision));
}

void make_hashed(HashedTable* self, std::int64_t num_ids, std::int32_t dim, const AnyArray& table,
                 std::uint32_t seed_mix) {
  new (self) HashedTable(num_ids, dim, view(table), seed_mix);
}

void make_split(SplitTable* self, std::int64_t num_ids, std::int32_t dim,
                const AnyArray& quotients, const AnyArray& remainders, bool multiply) {
  new (self) SplitTable(num_ids, dim, view(quotients), view(remainders),
                        multiply ? Combination::kMultiply : Combination::kAdd);
}

// Ids are shared out in blocks, so that every thread has some even of few.
nb::object rows_of(const ComputedTable& table, const SomeIds& ids, int num_threads) {
  const auto count = static_cast<std::int64_t>(ids.size());
  for (std::int64_t i = 0; i < count; ++i) {
    if (outside(ids.data()[i], table.num_ids())) {
      refuse_id("a computed table", ids.data()[i], table.num_ids(), "");
    }
  }
  const auto dim = static_cast<std::size_t>(table.dim());
  const Answer<float> answer(ids.size() * dim);
  {
    const Unlocked unlocked;
    const std::int64_t blocks = (count + kMaxLanes - 1) / kMaxLanes;
    Pool pool(static_cast<int>(std::min<std::int64_t>(num_threads, blocks)));
    std::vector<AlignedVector<std::byte>> scratch(pool.num_threads());
    for (auto& each : scratch) each.resize(table.scratch_bytes());
    pool.run(blocks, pool.num_threads(), [&](std::int64_t block, int worker) {
      const std::int64_t first = block * kMaxLanes;
      table.rows(ids.data() + first, static_cast<int>(std::min<std::int64_t>(kMaxLanes, count - first)),
                 answer.data + first * table.dim(), scratch[worker].data());
    });
  }
  return answer.array<2>({ids.size(), dim});
}

nb::object hot_index(const SomeIds& ids) {
  const std::vector<HotRows::Slot> slots = HotRows::index_of(ids.data(), ids.size());
  const Answer<std::uint32_t> answer(2 * slots.size());
  for (std::size_t i = 0; i < slots.size(); ++i) {
    answer.data[2 * i] = slots[i].id;
    answer.data[2 * i + 1] = slots[i].row;
  }
  return answer.array<2>({slots.size(), 2});
}

}  // namespace

void bind_computed(nb::module_& module) {
  nb::class_<ComputedTable>(module, "ComputedTable")
      .def_prop_ro("num_ids", &ComputedTable::num_ids)
      .def_prop_ro("dim", &ComputedTable::dim)
      .def("rows", &rows_of, "ids"_a.noconvert(), "num_threads"_a = 1,
           "Rows (count, dim) of ids uint32 (count,).");

  nb::class_<DecodedTable, ComputedTable>(module, "DecodedTable")
      .def("__init__", &make_decoded, "isa"_a, "num_ids"_a, "dim"_a, "num_values"_a, "seed_mix"_a,
           "shift"_a, "multipliers"_a, "addends"_a, "primes"_a.none(), "normal"_a.none(),
           "layers"_a, "precision"_a);

  nb::class_<HashedTable, ComputedTable>(module, "HashedTable")
      .def("__init__", &make_hashed, "num_ids"_a, "dim"_a, "table"_a, "seed_mix"_a);

  nb::class_<SplitTable, ComputedTable>(module, "SplitTable")
      .def("__init__", &make_split, "num_ids"_a, "dim"_a, "quotients"_a, "remainders"_a,
           "multiply"_a);

  module.def("hot_index", &hot_index, "ids"_a.noconvert());
}

}  // namespace recfunnel
