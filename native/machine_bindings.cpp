// Arrays are views of numpy's memory, kept alive by whoever reads them; results are new numpy arrays.
// Calls release the interpreter's lock.
#include "allocations.hpp"
#include "answers.hpp"
#include "bound_machine.hpp"
#include "unlocked.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <new>

using namespace nanobind::literals;

namespace recfunnel {
namespace {

void add_lists(FeatureArrays& features, const ListArrays& arrays) {
  const auto& [values, offsets, weights] = arrays;
  if (static_cast<std::int64_t>(offsets.size()) != features.num_rows + 1) {
    throw InputError("a multi-valued feature has " + std::to_string(offsets.size()) +
                     " offsets, must have one more than the " + std::to_string(features.num_rows) +
                     " rows");
  }
  if (weights && weights->size() != values.size()) {
    throw InputError("a multi-valued feature has " + std::to_string(weights->size()) +
                     " weights for " + std::to_string(values.size()) + " values");
  }
  Lists lists{values.data(), offsets.data(), weights ? weights->data() : nullptr,
              static_cast<std::int64_t>(values.size())};
  features.lists.push_back(lists);
}

FeatureArrays& context_of_thread() {
  thread_local FeatureArrays context;
  return context;
}

void check_shape(const Answers& out, std::initializer_list<std::size_t> wanted) {
  bool same = out.ndim() == wanted.size();
  std::string has, wants;
  for (std::size_t i = 0; i < out.ndim(); ++i) has += (i ? ", " : "") + std::to_string(out.shape(i));
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const std::size_t size = wanted.begin()[i];
    same = same && out.shape(i) == size;
    wants += (i ? ", " : "") + std::to_string(size);
  }
  if (!same) throw InputError("out has shape (" + has + "), must have (" + wants + ")");
}

// Zeroed bytes on a 2 MiB boundary, and why they do not lie in huge pages; empty when they do or
// were not asked to.
std::tuple<nb::object, std::string> new_bytes(std::size_t size, bool huge_pages) {
  constexpr std::size_t kHuge = std::size_t{2} << 20;
  const std::size_t whole = round_up(std::max<std::size_t>(size, 1), kHuge) + kHuge;
  void* start = mmap(nullptr, whole, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) throw std::bad_alloc();
  struct Mapping {
    void* start;
    std::size_t size;
  };
  const nb::capsule owner(new Mapping{start, whole}, [](void* p) noexcept {
    auto* mapping = static_cast<Mapping*>(p);
    munmap(mapping->start, mapping->size);
    delete mapping;
  });
  auto* data = reinterpret_cast<std::uint8_t*>(
      round_up(reinterpret_cast<std::uintptr_t>(start), kHuge));
  std::string refusal;
  if (huge_pages) {
#if defined(MADV_HUGEPAGE)
    std::string setting;
    std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
    std::getline(file, setting);
    if (madvise(data, whole - kHuge, MADV_HUGEPAGE) != 0) {
      refusal = std::string("the system refused (") + std::strerror(errno) + ")";
    } else if (setting.find("[never]") != std::string::npos || setting.empty()) {
      refusal = "the system has turned them off (/sys/kernel/mm/transparent_hugepage/enabled)";
    }
#else
    refusal = "this system does not know them";
#endif
  }
  return {nb::cast(nb::ndarray<nb::numpy, std::uint8_t, nb::ndim<1>>(data, {size}, owner)), refusal};
}

}  // namespace

Array view(const AnyArray& array) {
  Array made;
  made.data = array.data();
  for (std::size_t i = 0; i < array.ndim(); ++i) {
    made.shape.push_back(static_cast<std::int64_t>(array.shape(i)));
  }
  made.item_bytes = static_cast<std::int32_t>(array.itemsize());
  made.is_float32 = array.dtype() == nb::dtype<float>();
  made.owner = std::make_shared<AnyArray>(array);
  return made;
}

void fill(FeatureArrays& features, const Ids& categorical, const Numbers& dense,
          const std::vector<ListArrays>& lists) {
  if (categorical.shape(0) != dense.shape(0)) {
    throw InputError("features of one side have " + std::to_string(categorical.shape(0)) + " and " +
                     std::to_string(dense.shape(0)) + " rows");
  }
  features.categorical = categorical.data();
  features.dense = dense.data();
  features.num_rows = static_cast<std::int64_t>(categorical.shape(0));
  features.num_categorical = static_cast<int>(categorical.shape(1));
  features.num_dense = static_cast<int>(dense.shape(1));
  features.lists.clear();
  for (const ListArrays& each : lists) add_lists(features, each);
}

BoundMachine::BoundMachine(std::shared_ptr<Program> program, Ids categorical, Numbers dense,
             std::vector<ListArrays> lists, std::optional<AnyArray> records,
             const std::string& storage, int num_threads, int lanes, bool timed, bool prefetch)
    : categorical_(categorical), dense_(dense), lists_(std::move(lists)), records_(records) {
  FeatureArrays items;
  fill(items, categorical_, dense_, lists_);
  Table table;
  if (records_) table = make_table(view(*records_), storage);
  MachineOptions options{num_threads, lanes, timed, prefetch};
  const Unlocked unlocked;
  machine_ = std::make_shared<Machine>(std::move(program), std::move(items), table, options);
}

nb::object BoundMachine::score(const Ids& categorical, const Numbers& dense,
                 const std::vector<ListArrays>& lists, const std::optional<Ids>& candidates,
                 const std::optional<GivenScores>& given, const std::optional<Answers>& out) {
  FeatureArrays& context = context_of_thread();
  fill(context, categorical, dense, lists);
  const Call call = make_call(context, candidates, given);
  const auto queries = static_cast<std::size_t>(context.num_rows);
  const auto columns = static_cast<std::size_t>(call.num_candidates);
  const auto width = static_cast<std::size_t>(machine_->result_width());
  if (out) {
    if (width == 1) {
      check_shape(*out, {queries, columns});
    } else {
      check_shape(*out, {queries, columns, width});
    }
    {
      const Unlocked unlocked;
      machine_->run(call, out->data());
    }
    return nb::none();
  }
  const Answer<float> answer(queries * columns * width);
  {
    const Unlocked unlocked;
    machine_->run(call, answer.data);
  }
  if (width == 1) return answer.array<2>({queries, columns});
  return answer.array<3>({queries, columns, width});
}

nb::object BoundMachine::top_k(const Ids& categorical, const Numbers& dense,
                 const std::vector<ListArrays>& lists, std::int64_t k,
                 const std::optional<Ids>& candidates, const std::optional<GivenScores>& given,
                 const std::optional<IdVector>& excluded) {
  FeatureArrays& context = context_of_thread();
  fill(context, categorical, dense, lists);
  const Call call = make_call(context, candidates, given);
  thread_local TopK top;
  thread_local std::vector<std::int64_t> out;
  {
    const Unlocked unlocked;
    out.clear();
    if (excluded) {
      out.assign(excluded->data(), excluded->data() + excluded->size());
      std::sort(out.begin(), out.end());
      if (!out.empty() && (out.front() < 0 || out.back() >= call.num_candidates)) {
        throw InputError("excluded positions run from " + std::to_string(out.front()) + " to " +
                         std::to_string(out.back()) + ", allowed 0 to " +
                         std::to_string(call.num_candidates - 1));
      }
    }
    machine_->top_k(call, k, out, top);
  }
  const auto size = static_cast<std::size_t>(top.size());
  return nb::make_tuple(copied(std::span(top.positions().data(), size)),
                        copied(std::span(top.scores().data(), size)));
}

nb::list BoundMachine::timings() {
  nb::list found;
  for (const Timing& each : machine_->timings()) {
    found.append(nb::make_tuple(each.name, each.per_block, each.seconds, each.count));
  }
  return found;
}

Call BoundMachine::make_call(const FeatureArrays& context, const std::optional<Ids>& candidates,
               const std::optional<GivenScores>& given) const {
  Call call;
  call.context = &context;
  call.num_candidates = machine_->num_items();
  if (candidates) {
    if (static_cast<std::int64_t>(candidates->shape(0)) != context.num_rows) {
      throw InputError("candidates of " + std::to_string(candidates->shape(0)) +
                       " queries for a context of " + std::to_string(context.num_rows));
    }
    call.candidates = candidates->data();
    call.num_candidates = static_cast<std::int64_t>(candidates->shape(1));
  }
  const int width = machine_->given_width();
  if (given) {
    if (static_cast<std::int64_t>(given->shape(0)) != context.num_rows ||
        static_cast<std::int64_t>(given->shape(1)) != call.num_candidates ||
        (width > 0 && static_cast<int>(given->shape(2)) != width)) {
      throw InputError("given scores have shape (" + std::to_string(given->shape(0)) + ", " +
                       std::to_string(given->shape(1)) + ", " + std::to_string(given->shape(2)) +
                       "), must have (" + std::to_string(context.num_rows) + ", " +
                       std::to_string(call.num_candidates) + ", " + std::to_string(width) + ")");
    }
    call.given = given->data();
  }
  return call;
}

void bind_machines(nb::module_& module) {
  nb::exception<InputError>(module, "InputError");
  nb::exception<IdError>(module, "IdError");
  nb::exception<NotFiniteError>(module, "NotFiniteError");

  nb::class_<BoundMachine>(module, "Machine")
      .def(nb::init<std::shared_ptr<Program>, Ids, Numbers, std::vector<ListArrays>,
                    std::optional<AnyArray>, const std::string&, int, int, bool, bool>(),
           "program"_a, "categorical"_a, "dense"_a, "lists"_a, "records"_a.none(), "storage"_a,
           "num_threads"_a, "lanes"_a, "timed"_a, "prefetch"_a)
      .def("score", &BoundMachine::score, "categorical"_a.noconvert(), "dense"_a.noconvert(),
           "lists"_a.noconvert(), "candidates"_a.noconvert().none(), "given"_a.noconvert().none(),
           "out"_a.noconvert().none())
      .def("top_k", &BoundMachine::top_k, "categorical"_a.noconvert(), "dense"_a.noconvert(),
           "lists"_a.noconvert(), "k"_a, "candidates"_a.noconvert().none(),
           "given"_a.noconvert().none(), "excluded"_a.noconvert().none())
      .def("timings", &BoundMachine::timings)
      .def_prop_ro("lanes", &BoundMachine::lanes);

  module.def("new_bytes", &new_bytes, "size"_a, "huge_pages"_a);
  module.def("num_allocations", &num_allocations);
}

}  // namespace recfunnel
