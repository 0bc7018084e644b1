// Programs for Python: an empty one, then its arrays and instructions one by one.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <tuple>

#include "bound_machine.hpp"
#include "computed.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace recfunnel {
namespace {

using TileFields = std::tuple<bool, std::int32_t, std::int32_t, bool>;

Tile tile(const TileFields& fields) {
  return {std::get<0>(fields), std::get<1>(fields), std::get<2>(fields), std::get<3>(fields)};
}

std::optional<Tile> tile(const std::optional<TileFields>& fields) {
  return fields ? std::optional(tile(*fields)) : std::nullopt;
}

}  // namespace

void bind_programs(nb::module_& module) {
  nb::exception<ProgramError>(module, "ProgramError");

  nb::class_<Program>(module, "Program")
      .def("__init__",
           [](Program* self, std::int32_t query_rows, std::int32_t block_rows,
              const TileFields& result, const std::string& isa) {
             new (self) Program(query_rows, block_rows, tile(result), isa);
           },
           "query_rows"_a, "block_rows"_a, "result"_a, "isa"_a = "")
      .def_prop_ro("isa", [](const Program& p) { return std::string(p.kernels().name); })
      .def("array", [](Program& p, const std::string& name,
                       const AnyArray& array) { p.array(name, view(array)); },
           "name"_a, "array"_a.noconvert())
      .def("table", &Program::table, "name"_a, "storage"_a)
      .def("computed",
           [](Program& p, const std::string& name, std::shared_ptr<ComputedTable> table,
              const std::optional<AnyArray>& hot_rows, const std::optional<AnyArray>& hot_index) {
             std::shared_ptr<const HotRows> hot;
             if (hot_rows && hot_index) {
               hot = std::make_shared<const HotRows>(view(*hot_rows), view(*hot_index),
                                                     table->dim(), table->num_ids());
             }
             p.computed(name, std::move(table), std::move(hot));
           },
           "name"_a, "table"_a, "hot_rows"_a.none(), "hot_index"_a.none())
      .def("names",
           [](Program& p, bool of_items, std::vector<std::string> categorical,
              std::vector<std::string> dense, std::vector<std::string> multi_valued) {
             FeatureNames names{std::move(categorical), std::move(dense), std::move(multi_valued)};
             of_items ? p.item_names(std::move(names)) : p.context_names(std::move(names));
           },
           "of_items"_a, "categorical"_a, "dense"_a, "multi_valued"_a)
      .def("lookup", [](Program& p, const TileFields& out, int column, const std::string& table) {
             p.lookup(tile(out), column, table);
           },
           "out"_a, "column"_a, "table"_a)
      .def("pool", [](Program& p, const TileFields& out, int column, const std::string& table,
                      const std::string& norm) { p.pool(tile(out), column, table, norm); },
           "out"_a, "column"_a, "table"_a, "norm"_a)
      .def("row_sum", [](Program& p, const TileFields& out, int list_column, int id_column,
                         const std::string& table, const std::string& weighting) {
             p.row_sum(tile(out), list_column, id_column, table, weighting);
           },
           "out"_a, "list_column"_a, "id_column"_a, "table"_a, "weighting"_a)
      .def("dense", [](Program& p, const TileFields& out, std::vector<std::int32_t> columns) {
             p.dense(tile(out), std::move(columns));
           },
           "out"_a, "columns"_a)
      .def("given", [](Program& p, const TileFields& out) { p.given(tile(out)); }, "out"_a)
      .def("record", [](Program& p, const TileFields& out, int start) {
             p.record(tile(out), start);
           },
           "out"_a, "start"_a)
      .def("affine", [](Program& p, const TileFields& out, const TileFields& x,
                        const std::string& subtract, const std::string& scale) {
             p.affine(tile(out), tile(x), subtract, scale);
           },
           "out"_a, "x"_a, "subtract"_a, "scale"_a)
      .def("linear",
           [](Program& p, const TileFields& out, const TileFields& x, const std::string& weight,
              bool built, const std::string& precision, const std::string& bias,
              const std::optional<TileFields>& bias_at, const std::optional<TileFields>& addend,
              bool relu) {
             p.linear(tile(out), tile(x), weight, built, precision, bias, tile(bias_at),
                      tile(addend), relu);
           },
           "out"_a, "x"_a, "weight"_a, "built"_a, "precision"_a, "bias"_a, "bias_at"_a.none(),
           "addend"_a.none(), "relu"_a)
      .def("build_cross", [](Program& p, const std::string& slot, const TileFields& y,
                             const std::string& weight, int dim, const std::string& precision) {
             p.build_cross(slot, tile(y), weight, dim, precision);
           },
           "slot"_a, "y"_a, "weight"_a, "dim"_a, "precision"_a)
      .def("build_scaled", [](Program& p, const std::string& slot, const TileFields& y,
                              const std::string& weight, const std::string& base,
                              const std::string& precision) {
             p.build_scaled(slot, tile(y), weight, base, precision);
           },
           "slot"_a, "y"_a, "weight"_a, "base"_a, "precision"_a)
      .def("relu", [](Program& p, const TileFields& out, const TileFields& x) {
             p.relu(tile(out), tile(x));
           },
           "out"_a, "x"_a)
      .def("add", [](Program& p, const TileFields& out, const TileFields& x,
                     const TileFields& y) { p.add(tile(out), tile(x), tile(y)); },
           "out"_a, "x"_a, "y"_a)
      .def("multiply", [](Program& p, const TileFields& out, const TileFields& x,
                          const TileFields& y) { p.multiply(tile(out), tile(x), tile(y)); },
           "out"_a, "x"_a, "y"_a)
      .def("copy", [](Program& p, const TileFields& out, const TileFields& x) {
             p.copy(tile(out), tile(x));
           },
           "out"_a, "x"_a)
      .def("pair_dots", [](Program& p, const TileFields& out, const TileFields& x, int dim) {
             p.pair_dots(tile(out), tile(x), dim);
           },
           "out"_a, "x"_a, "dim"_a)
      .def("cross_dots", [](Program& p, const TileFields& out, const TileFields& x,
                            const TileFields& y, int dim) {
             p.cross_dots(tile(out), tile(x), tile(y), dim);
           },
           "out"_a, "x"_a, "y"_a, "dim"_a)
      .def("record_score",
           [](Program& p, const TileFields& out, int start, int width, int constant,
              const std::optional<TileFields>& y, int dim, const std::string& weight, bool built,
              const std::string& precision, const std::string& bias,
              const std::optional<TileFields>& bias_at, const std::string& head,
              const std::string& head_bias) {
             p.record_score(tile(out), start, width, constant, tile(y), dim, weight, built,
                            precision, bias, tile(bias_at), head, head_bias);
           },
           "out"_a, "start"_a, "width"_a, "constant"_a, "y"_a.none(), "dim"_a, "weight"_a,
           "built"_a, "precision"_a, "bias"_a, "bias_at"_a.none(), "head"_a, "head_bias"_a);
}

}  // namespace recfunnel
