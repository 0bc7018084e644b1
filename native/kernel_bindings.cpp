// Kernels one by one on numpy arrays, for tests and measurements; queries do not come this way.
//
// Inputs are copied into memory of exactly their size, so that a sanitizer sees a read past it, and
// aligned as in a query. `repeat` runs a kernel again and again on the same input.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "kernels.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace recfunnel {
namespace {

template <class T>
using Given = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;
template <class T>
using Made = nb::ndarray<nb::numpy, T>;
using MaybeGiven = std::optional<Given<float>>;

struct Freed {
  void operator()(void* memory) const { std::free(memory); }
};

template <class T>
class Memory {
 public:
  explicit Memory(std::size_t size) {
    void* memory = nullptr;
    if (posix_memalign(&memory, 64, std::max<std::size_t>(size * sizeof(T), 1)) != 0) {
      throw std::bad_alloc();
    }
    values_.reset(static_cast<T*>(memory));
  }
  explicit Memory(const Given<T>& array) : Memory(array.size()) {
    if (array.size() != 0) std::memcpy(get(), array.data(), array.size() * sizeof(T));
  }

  T* get() const { return values_.get(); }

  Made<T> array(std::vector<std::size_t> shape) && {
    T* values = values_.release();
    nb::capsule owner(values, [](void* memory) noexcept { std::free(memory); });
    return Made<T>(values, shape.size(), shape.data(), owner);
  }

 private:
  std::unique_ptr<T, Freed> values_;
};

std::optional<Memory<float>> maybe_memory(const MaybeGiven& array) {
  if (!array) return std::nullopt;
  return Memory<float>(*array);
}

const float* pointer(const std::optional<Memory<float>>& memory) {
  return memory ? memory->get() : nullptr;
}

void require(bool holds, const char* rule) {
  if (!holds) throw std::invalid_argument(rule);
}

void require_lanes(std::size_t lanes) {
  require(lanes == 1 || lanes % kLanes == 0, "lanes are 1 or a multiple of 16");
}

Precision precision_named(const std::string& name) {
  if (name == "float32") return Precision::kFloat32;
  if (name == "bfloat16") return Precision::kBFloat16;
  if (name == "int8") return Precision::kInt8;
  throw std::invalid_argument("no precision '" + name + "'; known: float32, bfloat16, int8");
}

Storage storage_named(const std::string& name) {
  if (name == "float32") return Storage::kFloat32;
  if (name == "float16") return Storage::kFloat16;
  if (name == "bfloat16") return Storage::kBFloat16;
  if (name == "int8") return Storage::kInt8;
  throw std::invalid_argument("no storage '" + name + "'; known: float32, float16, bfloat16, int8");
}

std::vector<std::string> available() {
  std::vector<std::string> names;
  for (const char* name : {"avx512_bf16", "avx512", "avx2", "portable"}) {
    try {
      names.emplace_back(kernels_named(name).name);
    } catch (const std::exception&) {  // not of this processor, or not built for its family
    }
  }
  return names;
}

Made<std::uint8_t> pack(const std::string& isa, const Given<float>& weight,
                        const std::string& precision_name) {
  require(weight.ndim() == 2, "weight is (N, K)");
  const Kernels& set = kernels_named(isa.c_str());
  const Precision precision = precision_named(precision_name);
  const int num_outputs = weight.shape(0), num_inputs = weight.shape(1);
  const std::size_t num_bytes = set.packed_bytes(num_outputs, num_inputs, precision);
  Memory<std::uint8_t> packed(num_bytes);
  set.pack(Memory<float>(weight).get(), num_outputs, num_inputs, precision, packed.get());
  return std::move(packed).array({num_bytes});
}

// Rows of a tile that holds `num_values` values a candidate; pairs come and go as words that numpy
// takes for float32.
std::size_t num_rows(std::size_t num_values, bool pairs) {
  return pairs ? (num_values + 1) / 2 : num_values;
}

Made<float> linear(const std::string& isa, const Given<std::uint8_t>& packed, int num_outputs,
                   const std::string& precision_name, const Given<float>& x, const MaybeGiven& bias,
                   const MaybeGiven& addend, bool relu, std::optional<int> num_inputs_of_pairs,
                   bool out_pairs, int repeat) {
  require(x.ndim() == 2, "x is (K, lanes), or (K / 2, lanes) of pairs");
  const Kernels& set = kernels_named(isa.c_str());
  const Precision precision = precision_named(precision_name);
  const bool in_pairs = num_inputs_of_pairs.has_value();
  const int num_inputs = num_inputs_of_pairs.value_or(int(x.shape(0))), lanes = x.shape(1);
  require(num_rows(num_inputs, in_pairs) == x.shape(0), "pairs are half as many as inputs");
  require(!in_pairs || precision == Precision::kBFloat16, "pairs are read by bfloat16 weights");
  const std::size_t num_out = std::size_t(num_outputs) * lanes;
  const std::size_t out_rows = num_rows(num_outputs, out_pairs);
  require_lanes(lanes);
  require(packed.size() == set.packed_bytes(num_outputs, num_inputs, precision),
          "packed weights have the size of (N, K) in this precision and instruction set");
  require(!bias || bias->size() == std::size_t(num_outputs), "bias is (N,)");
  require(!addend || addend->size() == num_out, "addend is (N, lanes)");

  const Memory<std::uint8_t> weights(packed);
  const Memory<float> in(x);
  const auto biases = maybe_memory(bias);
  const auto addends = maybe_memory(addend);
  const Memory<std::uint8_t> scratch(set.linear_scratch_bytes(num_inputs, lanes, precision));
  Memory<float> out(out_rows * lanes);
  const LinearArgs args{.matrix = {weights.get(), num_outputs, num_inputs, precision},
                        .in = in.get(),
                        .out = out.get(),
                        .in_pairs = in_pairs,
                        .out_pairs = out_pairs,
                        .bias = pointer(biases),
                        .addend = pointer(addends),
                        .lanes = lanes,
                        .relu = relu,
                        .scratch = scratch.get()};
  for (int i = 0; i < repeat; ++i) set.linear(args);
  return std::move(out).array({out_rows, std::size_t(lanes)});
}

Made<std::uint8_t> build_cross(const std::string& isa, const Given<float>& weight,
                               const Given<float>& y, const std::string& precision_name,
                               int repeat) {
  require(weight.ndim() == 2 && y.ndim() == 2 && weight.shape(1) % y.shape(0) == 0,
          "weight is (N, V·U) and y is (U, d)");
  const Kernels& set = kernels_named(isa.c_str());
  const Precision precision = precision_named(precision_name);
  const int num_outputs = weight.shape(0), num_y = y.shape(0), dim = y.shape(1);
  const int num_x = weight.shape(1) / num_y;
  const Memory<std::uint8_t> cross(set.packed_cross_bytes(num_outputs, num_x, num_y));
  set.pack_cross(Memory<float>(weight).get(), num_outputs, num_x, num_y, cross.get());
  const std::size_t num_bytes = set.packed_bytes(num_outputs, num_x * dim, precision);
  const Memory<float> vectors(y);
  Memory<std::uint8_t> packed(num_bytes);
  for (int i = 0; i < repeat; ++i) {
    set.build_cross(cross.get(), vectors.get(), num_outputs, num_x, num_y, dim, precision,
                    packed.get());
  }
  return std::move(packed).array({num_bytes});
}

Made<std::uint8_t> build_scaled(const std::string& isa, const MaybeGiven& base,
                                const Given<float>& weight, const Given<float>& y,
                                const std::string& precision_name, int repeat) {
  require(weight.ndim() == 2 && y.size() == weight.shape(1), "weight is (N, K) and y is (K,)");
  require(!base || base->size() == weight.size(), "base is (N, K)");
  const Kernels& set = kernels_named(isa.c_str());
  const Precision precision = precision_named(precision_name);
  const int num_outputs = weight.shape(0), num_inputs = weight.shape(1);
  const std::size_t given_bytes = set.packed_bytes(num_outputs, num_inputs, Precision::kFloat32);
  const Memory<std::uint8_t> weights(given_bytes), bases(given_bytes);
  const auto pack_one = [&](const Given<float>& from, const Memory<std::uint8_t>& to) {
    set.pack(Memory<float>(from).get(), num_outputs, num_inputs, Precision::kFloat32, to.get());
  };
  pack_one(weight, weights);
  if (base) pack_one(*base, bases);
  const std::size_t num_bytes = set.packed_bytes(num_outputs, num_inputs, precision);
  const Memory<float> factors(y);
  Memory<std::uint8_t> packed(num_bytes);
  for (int i = 0; i < repeat; ++i) {
    set.build_scaled(base ? bases.get() : nullptr, weights.get(), factors.get(), num_outputs,
                     num_inputs, precision, packed.get());
  }
  return std::move(packed).array({num_bytes});
}

// A table and the rows asked of it.
struct Lookup {
  Memory<std::uint8_t> bytes;
  Memory<std::int64_t> rows;
  Table table;

  Lookup(const Given<std::uint8_t>& given, int dim, const std::string& storage_name,
         const Given<std::int64_t>& given_rows)
      : bytes(given), rows(given_rows) {
    require(given.ndim() == 2, "table is (rows, bytes of a row)");
    const Storage storage = storage_named(storage_name);
    const std::size_t value_bytes = storage == Storage::kFloat32 ? 4
                                    : storage == Storage::kInt8  ? 1
                                                                 : 2;
    const std::size_t header_bytes = storage == Storage::kInt8 ? 4 : 0;
    require(header_bytes + dim * value_bytes <= given.shape(1), "rows have room for dim values");
    for (std::size_t i = 0; i < given_rows.size(); ++i) {
      const std::int64_t row = given_rows.data()[i];
      require(0 <= row && row < std::int64_t(given.shape(0)), "rows are those of the table");
    }
    table = {reinterpret_cast<const std::byte*>(bytes.get()), std::int64_t(given.shape(0)),
             std::int64_t(given.shape(1)), dim, storage};
  }
};

Made<float> gather(const std::string& isa, const Given<std::uint8_t>& table, int dim,
                   const std::string& storage, const Given<std::int64_t>& rows,
                   std::optional<std::pair<int, int>> columns, bool out_pairs, int repeat) {
  const Kernels& set = kernels_named(isa.c_str());
  const Lookup lookup(table, dim, storage, rows);
  const int lanes = rows.size();
  require_lanes(lanes);
  const auto [start, width] = columns.value_or(std::pair{0, dim});
  require(0 <= start && 0 <= width && start + width <= dim, "columns are within the row");
  require(!columns || !out_pairs, "whole rows are gathered to pairs");
  const std::size_t out_rows = num_rows(width, out_pairs);
  Memory<float> out(out_rows * lanes);
  for (int i = 0; i < repeat; ++i) {
    if (out_pairs) {
      set.gather_pairs(lookup.table, lookup.rows.get(), lanes,
                       reinterpret_cast<std::uint32_t*>(out.get()));
    } else if (columns) {
      set.gather_columns(lookup.table, lookup.rows.get(), start, width, lanes, out.get());
    } else {
      set.gather(lookup.table, lookup.rows.get(), lanes, out.get());
    }
  }
  return std::move(out).array({out_rows, std::size_t(lanes)});
}

void prefetch(const std::string& isa, const Given<std::uint8_t>& table, int dim,
              const std::string& storage, const Given<std::int64_t>& rows) {
  const Lookup lookup(table, dim, storage, rows);
  kernels_named(isa.c_str()).prefetch(lookup.table, lookup.rows.get(), int(rows.size()));
}

Made<float> pool(const std::string& isa, const Given<std::uint8_t>& table, int dim,
                 const std::string& storage, const Given<std::int64_t>& rows,
                 const Given<float>& weights, int repeat) {
  require(rows.size() == weights.size(), "rows and weights are as many");
  const Lookup lookup(table, dim, storage, rows);
  const Memory<float> factors(weights);
  Memory<float> out(dim);
  for (int i = 0; i < repeat; ++i) {
    kernels_named(isa.c_str())
        .pool(lookup.table, lookup.rows.get(), factors.get(), std::int64_t(rows.size()), out.get());
  }
  return std::move(out).array({std::size_t(dim)});
}

// dim: of vectors in float32; of pairs, `x` and `y` have half as many rows.
Made<float> dots(const std::string& isa, const Given<float>& x, const Given<float>* y, int dim,
                 bool in_pairs, bool out_pairs, int repeat) {
  require(x.ndim() == 2 && (y == nullptr || y->ndim() == 2), "tiles have rows and lanes");
  require(!in_pairs || dim % 2 == 0, "vectors of pairs have an even length");
  const std::size_t lanes = x.shape(1), rows = in_pairs ? dim / 2 : dim;
  require(x.shape(0) % rows == 0, "x is (V·d, lanes)");
  require_lanes(lanes);
  const std::size_t num_x = x.shape(0) / rows;
  std::size_t num_y = num_x, num_dots = num_x * (num_x - (num_x > 0)) / 2;
  DotsArgs args;
  if (y != nullptr) {
    require(y->shape(1) == 1 || y->shape(1) == lanes, "y has the lanes of x, or 1");
    args.lanes_y = int(y->shape(1));
    args.y_in_pairs = in_pairs && args.lanes_y == int(lanes);
    const std::size_t rows_y = args.y_in_pairs ? rows : dim;
    require(y->shape(0) % rows_y == 0, "y is (U·d, lanes or 1)");
    num_y = y->shape(0) / rows_y;
    num_dots = num_x * num_y;
  }
  const Memory<float> of_x(x), of_y(y == nullptr ? x : *y);
  const std::size_t out_rows = num_rows(num_dots, out_pairs);
  Memory<float> out(out_rows * lanes);
  const Memory<std::uint8_t> scratch(dots_scratch_bytes(num_x, num_y, dim));
  args.x = of_x.get();
  args.y = of_y.get();
  args.out = out.get();
  args.num_x = int(num_x);
  args.num_y = int(num_y);
  args.dim = dim;
  args.lanes = int(lanes);
  args.in_pairs = in_pairs;
  args.out_pairs = out_pairs;
  args.scratch = scratch.get();
  const Kernels& set = kernels_named(isa.c_str());
  for (int i = 0; i < repeat; ++i) y == nullptr ? set.pair_dots(args) : set.cross_dots(args);
  return std::move(out).array({out_rows, lanes});
}

Made<float> pair_dots(const std::string& isa, const Given<float>& x, int dim, bool in_pairs,
                      bool out_pairs, int repeat) {
  return dots(isa, x, nullptr, dim, in_pairs, out_pairs, repeat);
}

Made<float> cross_dots(const std::string& isa, const Given<float>& x, const Given<float>& y,
                       int dim, bool in_pairs, bool out_pairs, int repeat) {
  return dots(isa, x, &y, dim, in_pairs, out_pairs, repeat);
}

Made<float> elementwise(const std::string& isa, const std::string& name, const Given<float>& x,
                        const Given<float>& y, int repeat) {
  require(x.ndim() == 2 && y.ndim() == 2 && x.shape(0) == y.shape(0) &&
              (y.shape(1) == 1 || y.shape(1) == x.shape(1)),
          "x is (width, lanes) and y is (width, lanes or 1)");
  require_lanes(x.shape(1));
  require(name == "add" || name == "multiply", "known: add, multiply");
  const Kernels& set = kernels_named(isa.c_str());
  const auto kernel = name == "add" ? set.add : set.multiply;
  const Memory<float> of_x(x), of_y(y);
  Memory<float> out(x.size());
  for (int i = 0; i < repeat; ++i) {
    kernel(of_x.get(), of_y.get(), int(x.shape(0)), int(x.shape(1)), int(y.shape(1)), out.get());
  }
  return std::move(out).array({x.shape(0), x.shape(1)});
}

Made<float> affine(const std::string& isa, const Given<float>& x, const Given<float>& scale,
                   const Given<float>& shift) {
  require(x.ndim() == 2 && scale.size() == x.shape(0) && shift.size() == x.shape(0),
          "x is (width, lanes), scale and shift are (width,)");
  require_lanes(x.shape(1));
  Memory<float> out(x.size());
  kernels_named(isa.c_str())
      .affine(Memory<float>(x).get(), Memory<float>(scale).get(), Memory<float>(shift).get(),
              int(x.shape(0)), int(x.shape(1)), out.get());
  return std::move(out).array({x.shape(0), x.shape(1)});
}

Made<float> relu(const std::string& isa, const Given<float>& x) {
  require(x.ndim() == 2, "x is (width, lanes)");
  require_lanes(x.shape(1));
  Memory<float> out(x.size());
  kernels_named(isa.c_str())
      .relu(Memory<float>(x).get(), int(x.shape(0)), int(x.shape(1)), out.get());
  return std::move(out).array({x.shape(0), x.shape(1)});
}

std::pair<Made<float>, Made<std::int64_t>> collect_above(const std::string& isa,
                                                         const Given<float>& values,
                                                         float threshold,
                                                         std::int64_t first_position,
                                                         std::size_t room, int repeat) {
  const Memory<float> in(values);
  const auto is_above = [&](float value) { return value > threshold; };
  require(std::size_t(std::count_if(in.get(), in.get() + values.size(), is_above)) <= room,
          "there is room for the values above the threshold");
  Memory<float> kept_values(room);
  Memory<std::int64_t> kept_positions(room);
  int kept = 0;
  for (int i = 0; i < repeat; ++i) {
    kept = kernels_named(isa.c_str())
               .collect_above(in.get(), int(values.size()), threshold, first_position,
                              kept_values.get(), kept_positions.get(), 0);
  }
  return {std::move(kept_values).array({std::size_t(kept)}),
          std::move(kept_positions).array({std::size_t(kept)})};
}

std::pair<float, int> kth_largest(const std::string& isa, const Given<float>& values, int k,
                                  int repeat) {
  const Memory<float> in(values);
  require(k >= 1 && std::size_t(k) <= values.size(), "there is a k-th value");
  KthLargest found{};
  for (int i = 0; i < repeat; ++i) {
    found = kernels_named(isa.c_str()).kth_largest(in.get(), int(values.size()), k);
  }
  return {found.value, found.num_above};
}

std::pair<Made<float>, Made<std::int64_t>> keep_from(const std::string& isa,
                                                     const Given<float>& values,
                                                     const Given<std::int64_t>& positions,
                                                     float bound, int most_equal) {
  const Memory<float> in(values);
  const Memory<std::int64_t> at(positions);
  require(values.size() == positions.size(), "a position each");
  const auto kept = static_cast<std::size_t>(kernels_named(isa.c_str()).keep_from(
      in.get(), at.get(), int(values.size()), bound, most_equal));
  Memory<float> kept_values(kept);
  Memory<std::int64_t> kept_positions(kept);
  std::copy_n(in.get(), kept, kept_values.get());
  std::copy_n(at.get(), kept, kept_positions.get());
  return {std::move(kept_values).array({kept}), std::move(kept_positions).array({kept})};
}

}  // namespace

void bind_kernels(nb::module_& module) {
  module.def(
      "isa", [] { return std::string(kernels().name); },
      "Name of the instruction set in use: the best this processor runs, or RECFUNNEL_ISA's.");

  nb::module_ all = module.def_submodule("kernels", "Kernels one by one, for tests.");
  all.def("available", available);
  all.def("pack", pack, "isa"_a, "weight"_a, "precision"_a);
  all.def("linear", linear, "isa"_a, "packed"_a, "num_outputs"_a, "precision"_a, "x"_a,
          "bias"_a = nb::none(), "addend"_a = nb::none(), "relu"_a = false,
          "num_inputs_of_pairs"_a = nb::none(), "out_pairs"_a = false, "repeat"_a = 1);
  all.def("build_cross", build_cross, "isa"_a, "weight"_a, "y"_a, "precision"_a, "repeat"_a = 1);
  all.def("build_scaled", build_scaled, "isa"_a, "base"_a.none(), "weight"_a, "y"_a, "precision"_a,
          "repeat"_a = 1);
  all.def("gather", gather, "isa"_a, "table"_a, "dim"_a, "storage"_a, "rows"_a,
          "columns"_a = nb::none(), "out_pairs"_a = false, "repeat"_a = 1);
  all.def("prefetch", prefetch, "isa"_a, "table"_a, "dim"_a, "storage"_a, "rows"_a);
  all.def("pool", pool, "isa"_a, "table"_a, "dim"_a, "storage"_a, "rows"_a, "weights"_a,
          "repeat"_a = 1);
  all.def("pair_dots", pair_dots, "isa"_a, "x"_a, "dim"_a, "in_pairs"_a = false,
          "out_pairs"_a = false, "repeat"_a = 1);
  all.def("cross_dots", cross_dots, "isa"_a, "x"_a, "y"_a, "dim"_a, "in_pairs"_a = false,
          "out_pairs"_a = false, "repeat"_a = 1);
  all.def("elementwise", elementwise, "isa"_a, "name"_a, "x"_a, "y"_a, "repeat"_a = 1);
  all.def("affine", affine, "isa"_a, "x"_a, "scale"_a, "shift"_a);
  all.def("relu", relu, "isa"_a, "x"_a);
  all.def("collect_above", collect_above, "isa"_a, "values"_a, "threshold"_a, "first_position"_a,
          "room"_a, "repeat"_a = 1);
  all.def("kth_largest", kth_largest, "isa"_a, "values"_a, "k"_a, "repeat"_a = 1);
  all.def("keep_from", keep_from, "isa"_a, "values"_a, "positions"_a, "bound"_a, "most_equal"_a);
}

}  // namespace recfunnel
