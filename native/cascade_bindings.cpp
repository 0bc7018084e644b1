// Cascades for Python. Calls release the interpreter's lock.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>

#include "answers.hpp"
#include "bound_machine.hpp"
#include "cascade.hpp"
#include "unlocked.hpp"

using namespace nanobind::literals;

namespace recfunnel {
namespace {

using ScorerFields = std::tuple<nb::object, std::vector<int>, int>;       // machine, given, slot
using StageFields = std::tuple<std::vector<ScorerFields>, std::int64_t>;  // scorers, num_out
using WantedFields = std::pair<nb::str, int>;                             // model, slot

void check_length(const char* what, std::size_t length, std::int64_t count) {
  if (static_cast<std::int64_t>(length) != count) {
    throw InputError(std::string(what) + " are " + std::to_string(length) + " for " +
                     std::to_string(count) + " candidates");
  }
}

nb::object tuple_of(std::span<const double> values) {
  nb::object made = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(values.size())));
  if (!made.is_valid()) nb::raise_python_error();
  for (std::size_t i = 0; i < values.size(); ++i) {
    NB_TUPLE_SET_ITEM(made.ptr(), i, nb::float_(values[i]).release().ptr());
  }
  return made;
}

class BoundCascade {
 public:
  BoundCascade(const std::vector<StageFields>& stages, int num_slots, bool ends,
               const std::vector<WantedFields>& wanted, int num_sub_batches, bool shares)
      : cascade_(bound(stages), num_slots, ends,
                 {num_sub_batches, shares ? Keep::kShare : Keep::kAll}) {
    for (const auto& [name, slot] : wanted) {
      if (slot < 0 || slot >= num_slots) throw InputError("no such slot");
      wanted_.emplace_back(name, slot);
    }
    for (const auto& [scorers, num_out] : stages) {
      for (const auto& scorer : scorers) machines_.push_back(std::get<0>(scorer));
    }
  }

  // Columns, scores by model, seconds of each stage.
  nb::tuple run(const Ids& categorical, const Numbers& dense, const std::vector<ListArrays>& lists,
                std::int64_t count, const std::optional<IdVector>& columns,
                const std::optional<IdVector>& rows,
                const std::vector<std::optional<NumberVector>>& scores,
                const std::optional<IdVector>& excluded, std::int64_t num_columns) {
    Buffers& own = buffers_of_thread();
    fill(own.context, categorical, dense, lists);
    if (own.context.num_rows != 1) {
      throw InputError("a cascade ranks for one query, not for " +
                       std::to_string(own.context.num_rows));
    }
    Offered& offered = own.offered;
    offered.context = &own.context;
    offered.count = count;
    offered.columns = columns ? columns->data() : nullptr;
    offered.rows = rows ? rows->data() : nullptr;
    if (columns) check_length("columns", columns->size(), count);
    if (rows) check_length("rows", rows->size(), count);
    offered.scores.assign(static_cast<std::size_t>(cascade_.num_slots()), nullptr);
    for (std::size_t slot = 0; slot < std::min(scores.size(), offered.scores.size()); ++slot) {
      if (!scores[slot]) continue;
      check_length("scores", scores[slot]->size(), count);
      offered.scores[slot] = scores[slot]->data();
    }
    own.excluded.clear();
    if (excluded) own.excluded.assign(excluded->data(), excluded->data() + excluded->size());
    return call(own, num_columns == 0 ? count : num_columns);
  }

 private:
  struct Buffers {
    FeatureArrays context;
    Offered offered;
    std::vector<std::int64_t> excluded;
  };

  static Buffers& buffers_of_thread() {
    thread_local Buffers buffers;
    return buffers;
  }

  static std::vector<CascadeStage> bound(const std::vector<StageFields>& stages) {
    std::vector<CascadeStage> made;
    for (const auto& [scorers, num_out] : stages) {
      CascadeStage& stage = made.emplace_back();
      stage.num_out = num_out;
      for (const auto& [machine, given, slot] : scorers) {
        const auto& bound_machine = nb::cast<const BoundMachine&>(machine);
        stage.scorers.push_back({bound_machine.machine(), given, slot});
      }
    }
    return made;
  }

  nb::tuple call(Buffers& own, std::int64_t num_columns) {
    nb::object columns;
    nb::dict scores;
    nb::object seconds;
    {
      Unlocked unlocked;
      const auto take = [&] {
        unlocked.lock();
        columns = copied(cascade_.columns());
        for (const auto& [name, slot] : wanted_) scores[name] = copied(cascade_.scores(slot));
        seconds = tuple_of(cascade_.stage_seconds());
      };
      std::sort(own.excluded.begin(), own.excluded.end());
      const auto& out = own.excluded;
      if (!out.empty() && (out.front() < 0 || out.back() >= own.offered.count)) {
        throw InputError("excluded positions run from " + std::to_string(out.front()) + " to " +
                         std::to_string(out.back()) + ", allowed 0 to " +
                         std::to_string(own.offered.count - 1));
      }
      own.offered.excluded = out;
      cascade_.run(own.offered, num_columns, take);
    }
    return nb::make_tuple(columns, scores, seconds);
  }

  std::vector<nb::object> machines_;  // whose arrays are read
  Cascade cascade_;
  std::vector<WantedFields> wanted_;  // whose scores are handed over
};

}  // namespace

void bind_cascades(nb::module_& module) {
  nb::class_<BoundCascade>(module, "Cascade")
      .def(nb::init<const std::vector<StageFields>&, int, bool, const std::vector<WantedFields>&, int,
                    bool>(),
           "stages"_a, "num_slots"_a, "ends"_a, "wanted"_a, "num_sub_batches"_a = 1,
           "shares"_a = false)
      .def("run", &BoundCascade::run, "categorical"_a.noconvert(), "dense"_a.noconvert(),
           "lists"_a.noconvert(), "count"_a, "columns"_a.noconvert().none(),
           "rows"_a.noconvert().none(), "scores"_a.noconvert(), "excluded"_a.noconvert().none(),
           "num_columns"_a = 0);
}

}  // namespace recfunnel
